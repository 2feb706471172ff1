// providers.js -- providers: their state, and what went through this process.

import {get} from './api.js';
import {badge, bytes, count, failure, h, table} from './dom.js';
import {read, sum} from './metrics.js';

const KINDS = {up: 'good', down: 'bad'};

function stateOf(p) {
  if (!p.state)
    return '–';
  const breaker = p.breaker ? `, breaker ${p.breaker}` : '';
  return badge(p.state + breaker, KINDS[p.state] || 'warn');
}

// Without /admin/providers those that were used are known from /metrics.
function namesIn(series) {
  const names = series.filter((s) => s.name.startsWith('filemux_upstream_') &&
    s.labels.provider).map((s) => s.labels.provider);
  return [...new Set(names)].sort().map((name) => ({name}));
}

function fromMetrics(series) {
  const total = (title, metric, show) => ({title, number: true,
    cell: (p) => show(sum(series, `filemux_upstream_${metric}`,
      (l) => l.provider === p.name))});
  return [
    total('Operations', 'seconds_count', count),
    total('Errors', 'errors_total', count),
    total('Sent', 'bytes_out_total', bytes),
    total('Received', 'bytes_in_total', bytes),
  ];
}

function ofToday() {
  const total = (title, name, show) =>
    ({title, number: true, cell: (p) => show(p.today[name])});
  return [
    total('Requests today', 'requests', count),
    total('Errors', 'errors', count),
    total('Up', 'upload_bytes', bytes),
    total('Down', 'download_bytes', bytes),
  ];
}

const columns = (traffic) => [
  {title: 'Provider', cell: (p) => [p.name, p.default &&
    h('span', {class: 'soft'}, ' (default)')]},
  {title: 'Type', cell: (p) => p.type || '–'},
  {title: 'State', cell: stateOf},
  ...traffic,
  {title: 'Largest file', number: true, cell: (p) => bytes(p.max_file_bytes)},
  {title: 'Can', cell: (p) => (p.operations || []).join(', ') ||
    '–'},
];

async function listed() {
  const rows = (await get('/admin/providers')).data;
  if (rows.every((p) => p.today))
    return [table('Providers', columns(ofToday()), rows, 'No provider.'),
      h('p', {class: 'soft'}, 'Traffic is that of today (UTC), through all ' +
        'processes.')];
  return inProcess(rows);
}

async function inProcess(rows) {
  const series = await read();
  return [table('Providers', columns(fromMetrics(series)),
    rows || namesIn(series), 'No provider was used yet.'),
  h('p', {class: 'soft'}, 'Traffic is that of the process that answers, ' +
    'since it began.')];
}

export async function showProviders(root) {
  const out = h('div', {class: 'list'});
  root.append(h('h1', {}, 'Providers'), out);
  try {
    out.replaceChildren(...await listed());
  } catch (e) {
    out.replaceChildren(failure('State of the providers', e));
    if (e.isAbsent)
      out.append(...await inProcess().catch((x) => [failure('Traffic', x)]));
  }
}
