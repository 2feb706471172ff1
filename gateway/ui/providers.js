// providers.js -- providers: whether they are asked, and what went through.

import {get} from './api.js';
import {
  badge, button, bytes, clock, count, dateOf, day, failure, h, table,
} from './dom.js';

const KINDS = {up: 'good', down: 'bad'};

// Why it is not asked, or soon may not be.
function why(p) {
  const failures = p.consecutive_failures;
  const inRow = failures &&
    `${count(failures)} ${failures === 1 ? 'failure' : 'failures'} in a row`;
  const at = dateOf(p.opened_at);
  const since = at && `since ${day(at)} ${clock(at)}`;
  if (p.breaker === 'open')
    return [`not asked ${since || ''}`.trim(),
      inRow || 'too many of its operations failed'];
  if (p.breaker === 'half_open')
    return ['one operation is let through to try it', since && `down ${since}`,
      inRow];
  return [inRow];
}

function stateOf(p) {
  const reason = why(p).filter(Boolean).join('; ');
  const breaker = p.breaker === 'closed' ? ''
    : `, breaker ${p.breaker.replace('_', ' ')}`;
  return [badge(p.state + breaker, KINDS[p.state] || 'warn'),
    reason && h('span', {class: 'soft under'}, reason)];
}

const ofToday = (title, name, show) =>
  ({title, number: true, cell: (p) => show(p.today[name])});

const COLUMNS = [
  {title: 'Provider', cell: (p) => [p.name, p.default &&
    h('span', {class: 'soft'}, ' (default)')]},
  {title: 'Type', cell: (p) => p.type},
  {title: 'State', cell: stateOf},
  {title: 'Under way', number: true, cell: (p) => [bytes(p.bytes_under_way),
    h('span', {class: 'soft under'},
      `${bytes(p.bytes_last_minute)} last minute`)]},
  ofToday('Requests today', 'requests', count),
  ofToday('Errors', 'errors', count),
  ofToday('Up', 'upload_bytes', bytes),
  ofToday('Down', 'download_bytes', bytes),
  {title: 'Largest file', number: true, cell: (p) => bytes(p.max_file_bytes)},
  {title: 'Can', cell: (p) => p.operations.join(', ') || '–'},
];

export async function showProviders(root) {
  const out = h('div', {class: 'list'});
  const load = async () => {
    try {
      const {data} = await get('/admin/providers');
      out.replaceChildren(table('Providers', COLUMNS, data, 'No provider.'),
        h('p', {class: 'soft'}, 'State and bytes under way are those of the ' +
          'process that answers; the traffic of today (UTC) is that of all.'));
    } catch (e) {
      out.replaceChildren(failure('State of the providers', e));
    }
  };
  root.append(h('div', {class: 'title'}, h('h1', {}, 'Providers'),
    button('Refresh', load)), out);
  await load();
}
