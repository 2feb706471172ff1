// dom.js -- elements, tables, dialogs and how values are written.
//
// Everything shown is set as text or as an attribute; no string ever becomes
// markup (the page's policy would refuse it).

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false)
      continue;
    if (name.startsWith('on'))
      node.addEventListener(name.slice(2), value);
    else
      node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity)
    .filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

export const h = (tag, props, ...children) =>
  fill(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) =>
  fill(document.createElementNS(SVG, tag), props, children);
export const byId = (id) => document.getElementById(id);

// --- values ---

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

// Units of 1024, as the server reads them.
export function bytes(n) {
  if (n === null || n === undefined || Number.isNaN(n))
    return '–';
  let i = 0;
  while (Math.abs(n) >= 1024 && i < UNITS.length - 1) {
    n /= 1024;
    i++;
  }
  const digits = i === 0 || n >= 100 || Number.isInteger(n) ? 0 : 1;
  return `${n.toFixed(digits)} ${UNITS[i]}`;
}

export const count = (n) =>
  n === null || n === undefined ? '–' : Number(n).toLocaleString('en');

// A size such that the server reads exactly the same number again.
export function exactSize(n) {
  let i = 0;
  while (n && n % 1024 === 0 && i < 4) {
    n /= 1024;
    i++;
  }
  return i ? `${n}${UNITS[i]}` : `${n}`;
}

// Seconds since 1970, or the server's text.
export function dateOf(value) {
  if (value === null || value === undefined || value === '' || value === 0)
    return null;
  const date = new Date(typeof value === 'number' ? value * 1000 : value);
  return Number.isNaN(date.getTime()) ? null : date;
}

const two = (n) => String(n).padStart(2, '0');
export const day = (d) =>
  `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
export const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}`;

export function time(value, never = '–') {
  const d = dateOf(value);
  return d ? h('time', {datetime: d.toISOString()}, `${day(d)} ${clock(d)}`)
    : never;
}

export const badge = (text, kind = '') =>
  h('span', {class: `badge ${kind}`}, text);

// --- controls ---

// While `work` runs the button is busy; what it throws is shown.
export function button(label, work, props = {}) {
  const node = h('button', {type: 'button', ...props}, label);
  node.addEventListener('click', () => busy(node, work));
  return node;
}

export async function busy(node, work) {
  if (node.getAttribute('aria-busy') === 'true')
    return;
  node.setAttribute('aria-busy', 'true');
  try {
    await work();
  } catch (e) {
    note(e.message, 'bad');
  } finally {
    node.removeAttribute('aria-busy');
  }
}

let nextId = 1;

export function field(label, control, hint) {
  const id = `f${nextId++}`;
  control.id = id;
  const below = h('span', {class: 'hint', id: `${id}-hint`}, hint || '');
  control.setAttribute('aria-describedby', below.id);
  return h('div', {class: 'field'}, h('label', {for: id}, label), control,
    below);
}

export const select = (options, value, props = {}) =>
  h('select', props, options.map(([v, label]) =>
    h('option', {value: v, selected: v === value}, label)));

// --- messages ---

export function note(text, kind = '') {
  const node = h('div', {class: `note ${kind}`}, h('span', {}, text));
  const close = h('button', {type: 'button', 'aria-label': 'Dismiss'}, '×');
  close.addEventListener('click', () => node.remove());
  node.append(close);
  // What lies behind an open dialog is neither seen nor heard.
  const open = [...document.querySelectorAll('dialog[open]')].pop();
  (open ? open.querySelector('.notes') : byId('notes')).append(node);
  if (kind !== 'bad')
    setTimeout(() => node.remove(), 6000);
}

// In place of a section that cannot be shown.
export const failure = (what, e) =>
  h('p', {class: e.isAbsent ? 'soft' : 'error', role: 'status'},
    e.isAbsent ? `${what}: not available on this server.`
      : `${what}: ${e.message}.`);

// --- tables ---

// columns: [{title, cell: row => node or text, number: true}]. On a narrow
// screen rows become cards, with the titles beside the values; the roles keep
// what the changed layout would take away.
export function table(label, columns, rows, empty = 'None.') {
  if (!rows.length)
    return h('p', {class: 'soft empty'}, empty);
  const head = columns.map((c) =>
    h('th', {scope: 'col', role: 'columnheader', class: c.number && 'number'},
      c.title));
  const cell = (c, row) => {
    const content = c.cell(row);
    // "–" and "never" say nothing on a card.
    const isNothing = typeof content === 'string' && /^(–|never)$/.test(content);
    return h('td', {role: 'cell', 'data-title': c.title,
      class: [c.number && 'number', c.title === 'Actions' && 'actions',
        isNothing && 'nothing'].filter(Boolean).join(' ')},
    h('div', {}, content));
  };
  const body = rows.map((row) =>
    h('tr', {role: 'row'}, columns.map((c) => cell(c, row))));
  return h('table', {role: 'table', 'aria-label': label},
    h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, head)),
    h('tbody', {role: 'rowgroup'}, body));
}

export function pager(text, back, on) {
  return h('nav', {class: 'pager', 'aria-label': 'Pages'},
    button('Previous', back || (() => {}), {disabled: !back}),
    h('span', {}, text),
    button('Next', on || (() => {}), {disabled: !on}));
}

// --- dialogs ---

export function dialog(title, ...content) {
  const heading = h('h2', {id: `d${nextId++}`}, title);
  const close = h('button', {type: 'button', class: 'plain close',
    'aria-label': 'Close'}, '×');
  const node = h('dialog', {'aria-labelledby': heading.id},
    h('div', {class: 'dialog-head'}, heading, close), ...content,
    h('div', {class: 'notes', role: 'status', 'aria-live': 'polite'}));
  close.addEventListener('click', () => node.close());
  // Nothing of it stays in the document, a secret least of all.
  node.addEventListener('close', () => {
    node.replaceChildren();
    node.remove();
  });
  document.body.append(node);
  node.showModal();
  return node;
}

// Resolves to false, or to what the dialog's controls say.
export function confirm(title, text, verb, ...controls) {
  return new Promise((done) => {
    let answer = false;
    const yes = h('button', {type: 'button', class: 'danger'}, verb);
    const no = h('button', {type: 'button', autofocus: true}, 'Cancel');
    const node = dialog(title, h('p', {}, text), controls,
      h('div', {class: 'buttons'}, no, yes));
    yes.addEventListener('click', () => {
      answer = true;
      node.close();
    });
    no.addEventListener('click', () => node.close());
    node.addEventListener('close', () => done(answer));
  });
}

export async function copy(input) {
  try {
    await navigator.clipboard.writeText(input.value);
  } catch {
    // Plain HTTP has no clipboard for scripts.
    input.select();
    if (!document.execCommand('copy'))
      throw new Error('press Ctrl+C: the browser refused to copy');
  }
  note('Copied.');
}
