// app.js -- signing in and out, and which section is shown.
//
// The master key sees everything; a virtual key, itself. Which of the two it is
// the server says: /key/list is for the master key alone.

import {forget, get, isSignedIn, remember} from './api.js';
import {byId, h} from './dom.js';
import {showFiles} from './files.js';
import {showKeys, showTeams} from './holders.js';
import {showJobs} from './jobs.js';
import {Sampler} from './metrics.js';
import {showProviders} from './providers.js';
import {showTraffic} from './traffic.js';
import {showUsage} from './usage.js';

const IDLE_MS = 30 * 60 * 1000;

const SECTIONS = {
  traffic: {title: 'Traffic', show: showTraffic, isMaster: true},
  keys: {title: 'Keys', show: showKeys, isMaster: true},
  teams: {title: 'Teams', show: showTeams, isMaster: true},
  providers: {title: 'Providers', show: showProviders, isMaster: true},
  usage: {title: 'Usage', show: showUsage, isMaster: false},
  files: {title: 'Files', show: showFiles},
  jobs: {title: 'Jobs', show: showJobs, isMaster: true},
};

let session = null; // {isMaster, sampler, idle}

const mine = () => Object.entries(SECTIONS).filter(([, s]) =>
  s.isMaster === undefined || s.isMaster === session.isMaster);

// --- sections ---

function showSection() {
  if (!session)
    return;
  const names = mine().map(([name]) => name);
  const wanted = location.hash.slice(1);
  if (wanted === 'main')
    return; // the link that skips to the content
  const name = names.includes(wanted) ? wanted : names[0];
  for (const link of byId('nav').children) {
    if (link.getAttribute('href') === `#${name}`) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({block: 'nearest', inline: 'nearest'});
    } else {
      link.removeAttribute('aria-current');
    }
  }
  if (session.sampler)
    session.sampler.onsample = null;
  const root = h('div', {});
  byId('view').replaceChildren(root);
  document.title = `${SECTIONS[name].title} · filemux`;
  SECTIONS[name].show(root, session);
}

// --- signing in ---

// {isMaster}, or throws what is to be said.
async function whoIs() {
  try {
    await get('/key/list', {size: 1});
    return {isMaster: true};
  } catch (e) {
    if (e.status !== 403)
      throw e;
  }
  try {
    await get('/v1/usage');
  } catch (e) {
    // Refused for what the key is, not for what it may do.
    if (e.status === 401 || /^key_/.test(e.code))
      throw e;
  }
  return {isMaster: false};
}

function begin(who) {
  session = who;
  session.sampler = who.isMaster ? new Sampler() : null;
  byId('sign-in').hidden = true;
  byId('nav').replaceChildren(...mine().map(([name, s]) =>
    h('a', {href: `#${name}`}, s.title)));
  byId('who-name').textContent = who.isMaster ? 'master key' : 'virtual key';
  byId('nav').hidden = byId('who').hidden = false;
  stayAwake();
  showSection();
  byId('main').focus();
}

function end(why = '') {
  forget();
  if (session) {
    clearTimeout(session.idle);
    if (session.sampler)
      session.sampler.stop();
  }
  session = null;
  for (const node of document.querySelectorAll('dialog'))
    node.remove();
  byId('view').replaceChildren();
  byId('notes').replaceChildren();
  byId('nav').hidden = byId('who').hidden = true;
  byId('nav').replaceChildren();
  byId('sign-in-error').textContent = why;
  byId('sign-in').hidden = false;
  document.title = 'filemux';
  byId('secret').focus();
}

function stayAwake() {
  if (!session)
    return;
  clearTimeout(session.idle);
  session.idle = setTimeout(() => end('Signed out after half an hour.'),
    IDLE_MS);
}

function told(e) {
  const later = e.retryAfter ? ` Try again in ${e.retryAfter} s.` : '';
  return `Cannot sign in: ${e.message}.${later}`;
}

async function signIn(event) {
  event.preventDefault();
  const input = byId('secret');
  const go = byId('sign-in').querySelector('button');
  remember(input.value.trim());
  input.value = '';
  byId('sign-in-error').textContent = '';
  go.disabled = true;
  try {
    if (isSignedIn())
      begin(await whoIs());
  } catch (e) {
    end(told(e));
  } finally {
    go.disabled = false;
  }
}

byId('sign-in').addEventListener('submit', signIn);
byId('sign-out').addEventListener('click', () => end());
addEventListener('hashchange', showSection);
addEventListener('refused', () => session &&
  end('Signed out: the key is not valid any more.'));
for (const event of ['pointerdown', 'keydown'])
  addEventListener(event, stayAwake, {passive: true});
// Not even in the browser's memory of pages gone back to.
addEventListener('pagehide', () => end());
end();
