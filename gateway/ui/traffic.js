// traffic.js -- the last hour and the last 30 days.

import {get} from './api.js';
import {barChart, lineChart} from './charts.js';
import {bytes, clock, count, failure, field, h, select, table} from './dom.js';
import {EVERY_MS, KEPT_MS} from './metrics.js';

const DAYS = 30;
const SHOWN = 25; // groups in the table
const DAY_MS = 86400 * 1000;

const rate = (n) => (n >= 10 ? count(Math.round(n)) : `${+n.toFixed(1)}`);
const byteRate = (n) => `${bytes(Math.round(n))}/s`;

// --- the last hour ---

function hourCharts(sampler) {
  const to = Date.now();
  const common = {from: to - KEPT_MS, to};
  const up = sampler.rates('up');
  const down = sampler.rates('down');
  const requests = sampler.rates('requests');
  const last = (points) =>
    (points.length && points[points.length - 1][1]) || 0;
  return h('div', {class: 'charts'},
    lineChart({...common, title: 'Bytes per second', isBytes: true,
      show: byteRate, label: 'Bytes per second over the last hour; now ' +
        `${byteRate(last(up))} up, ${byteRate(last(down))} down`,
      series: [{name: 'to providers', points: up},
        {name: 'from providers', points: down}]}),
    lineChart({...common, title: 'Requests per second', show: rate,
      label: 'Requests per second over the last hour; now ' +
        rate(last(requests)),
      series: [{name: 'requests', points: requests}]}));
}

function showHour(root, sampler) {
  const draw = () => {
    const [first] = sampler.samples;
    if (sampler.error && !first) {
      root.replaceChildren(failure('Metrics', sampler.error));
      return;
    }
    root.replaceChildren(
      h('p', {class: 'soft'}, 'Sampled by this page every ' +
        `${EVERY_MS / 1000} s while it is open` +
        (first ? `, since ${clock(new Date(first.t))}` : '') +
        '; of the process that answers it. Files only, not administration.'),
      hourCharts(sampler));
  };
  sampler.onsample = draw;
  draw();
}

// --- the last 30 days ---

function rowOf(row, group) {
  return {
    day: row.date, name: row[group], requests: row.requests,
    errors: row.errors, up: row.upload_bytes, down: row.download_bytes,
  };
}

function lastDays() {
  const now = Date.now();
  return Array.from({length: DAYS}, (_, i) =>
    new Date(now - (DAYS - 1 - i) * DAY_MS).toISOString().slice(0, 10));
}

function dayCharts(rows) {
  const days = lastDays();
  const perDay = (name) => days.map((d) => rows
    .filter((r) => r.day === d).reduce((n, r) => n + r[name], 0));
  const total = (name) => rows.reduce((n, r) => n + r[name], 0);
  return h('div', {class: 'charts'},
    barChart({title: 'Bytes per day', days, isBytes: true, show: bytes,
      label: `Bytes per day: ${bytes(total('up'))} up and ` +
        `${bytes(total('down'))} down in ${DAYS} days`,
      series: [{name: 'up', values: perDay('up')},
        {name: 'down', values: perDay('down')}]}),
    barChart({title: 'Requests per day', days, show: count,
      label: `Requests per day: ${count(total('requests'))} in ${DAYS} days`,
      series: [{name: 'requests', values: perDay('requests')}]}));
}

const nameCell = (name) =>
  h('span', {title: name}, name.length > 40 ? `${name.slice(0, 12)}…` : name);

// Keys are counted under their ids, which tell nobody anything: their aliases
// are asked for one after the other. A deleted key has none any more.
async function nameKeys(group, cells) {
  if (group !== 'key')
    return;
  for (const [id, cell] of cells) {
    if (!/^[0-9a-f]{64}$/.test(id))
      continue; // the master key's
    const {info} = await get('/key/info', {key: id}).catch(() => ({}));
    if (info)
      cell.textContent = info.key_alias || info.key_name;
  }
}

function groupTable(rows, group) {
  const groups = new Map();
  for (const row of rows) {
    const sum = groups.get(row.name) ||
      {name: row.name, requests: 0, errors: 0, up: 0, down: 0};
    for (const what of ['requests', 'errors', 'up', 'down'])
      sum[what] += row[what];
    groups.set(row.name, sum);
  }
  const sorted = [...groups.values()]
    .sort((a, b) => b.up + b.down - a.up - a.down).slice(0, SHOWN);
  const cells = new Map(sorted.map((g) => [g.name, nameCell(g.name)]));
  nameKeys(group, cells);
  const number = (title, name, show) =>
    ({title, number: true, cell: (g) => show(g[name])});
  return table(`Usage by ${group}`, [
    {title: group[0].toUpperCase() + group.slice(1), cell: (g) => cells.get(g.name)},
    number('Requests', 'requests', count), number('Errors', 'errors', count),
    number('Up', 'up', bytes), number('Down', 'down', bytes),
  ], sorted, `No usage in the last ${DAYS} days.`);
}

function showDays(root) {
  const out = h('div', {});
  const by = select(['all', 'key', 'team', 'provider'].map((v) => [v, v]),
    'all');
  const load = async () => {
    const group = by.value;
    try {
      const reply = await get('/admin/usage', {group_by: group, days: DAYS});
      const rows = reply.data.map((row) => rowOf(row, group));
      out.replaceChildren(dayCharts(rows), groupTable(rows, group));
    } catch (e) {
      out.replaceChildren(failure('Usage by day', e));
    }
  };
  by.addEventListener('change', load);
  root.append(h('div', {class: 'filters'}, field('Group by', by)), out);
  return load();
}

export function showTraffic(root, session) {
  const hour = h('section', {'aria-label': 'The last hour'});
  const month = h('section', {'aria-label': 'The last 30 days'},
    h('h2', {}, 'Last 30 days'), h('p', {class: 'soft'}, 'Days are UTC.'));
  root.append(h('h1', {}, 'Traffic'), h('h2', {}, 'Last hour'), hour, month);
  showHour(hour, session.sampler);
  return showDays(month);
}
