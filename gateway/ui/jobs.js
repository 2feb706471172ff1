// jobs.js -- background jobs: begun, followed until they are over, stopped.

import {get, post} from './api.js';
import {
  badge, busy, button, confirm, count, dateOf, day, dialog, failure, field, h,
  note, pager, select, table, time,
} from './dom.js';
import {OwnerPicker, ownerText} from './owners.js';

const PAGE = 25;
const EVERY_MS = 2000;
const SHOWN = 100; // entries of a report

const KINDS = {delete_files: 'Delete files', import: 'Import',
  reconcile: 'Reconcile'};
const STATES = {running: '', done: 'good', failed: 'bad', cancelled: 'warn'};

const isOver = (job) => !['queued', 'running'].includes(job.state);
const pathOf = (id) => `/admin/jobs/${encodeURIComponent(id)}`;
const kindOf = (job) => KINDS[job.kind] || job.kind;
const words = (name) => name.replaceAll('_', ' ');
const stateOf = (job) => badge(job.state, STATES[job.state]);

// look() again while it resolves to true, `node` is on the page and the page is
// in view.
async function follow(node, look) {
  if (!node.isConnected)
    return;
  if (document.hidden) {
    document.addEventListener('visibilitychange', () => follow(node, look),
      {once: true});
    return;
  }
  if (await look())
    setTimeout(() => follow(node, look), EVERY_MS);
}

// --- one job ---

function progressBar(job) {
  const inside = h('div', {class: 'fill'});
  const isKnown = job.total !== null;
  if (isKnown)
    inside.style.width = `${job.total ? job.done / job.total * 100 : 100}%`;
  return h('div', {
    class: `meter ${isKnown ? '' : 'unknown'}`, role: 'progressbar',
    'aria-label': `Progress: ${kindOf(job)}`, 'aria-valuemin': isKnown && 0,
    'aria-valuemax': isKnown && job.total, 'aria-valuenow': isKnown && job.done,
  }, inside);
}

function progress(job) {
  const of = job.total !== null ? `of ${count(job.total)}`
    : isOver(job) ? 'in all' : 'so far';
  const failed = job.failed ? `, ${count(job.failed)} failed` : '';
  const told = `${count(job.done)} ${of}${failed}`;
  return h('div', {class: 'quota small'},
    (job.total !== null || !isOver(job)) && progressBar(job),
    h('span', {}, told), job.error && h('span', {class: 'error'}, job.error));
}

function subject(job) {
  const {provider, owner, purpose, prefix, mend, orphans} = job.args;
  return [provider || (job.kind === 'reconcile' && 'all providers'),
    owner && ownerText(owner), purpose, prefix && `prefix ${prefix}`,
    mend && 'mending', orphans && `orphans: ${orphans}`]
    .filter(Boolean).join(', ') || '–';
}

const found = (job) => Object.entries(job.counts)
  .filter(([, n]) => n).map(([name, n]) => [words(name), count(n)]);

function reportOf(job) {
  if (!job.report.length)
    return [];
  const text = ({what, message, ...rest}) => [message, Object.entries(rest)
    .filter(([k, v]) => v || !k.endsWith('_at'))
    .map(([k, v]) => `${words(k)}: ${k.endsWith('_at') ? day(dateOf(v)) : v}`)
    .join(', ')].filter(Boolean).join(' – ');
  return [
    table('Report', [
      {title: 'What', cell: (e) => words(e.what)},
      {title: 'Of', cell: text},
    ], job.report.slice(0, SHOWN)),
    job.report.length > SHOWN && h('p', {class: 'soft'},
      `The first ${SHOWN} of ${count(job.report.length)}.`),
  ].filter(Boolean);
}

// A dialog, which follows the job until it is over.
export function showJob(id) {
  const head = h('div', {class: 'job'});
  const report = h('div', {class: 'list'});
  const node = dialog('Job', h('code', {class: 'id'}, id), head, report);
  let entries = 0;
  follow(node, async () => {
    try {
      const job = await get(pathOf(id));
      const rows = [['Kind', kindOf(job)], ['Of', subject(job)],
        ['Begun', time(job.started_at, 'not yet')],
        ['Ended', time(job.ended_at, 'not yet')], ...found(job)];
      head.replaceChildren(h('p', {}, stateOf(job)), progress(job),
        h('dl', {class: 'facts'},
          rows.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)])));
      // Not under the reader's eyes for nothing.
      if (job.report.length !== entries)
        report.replaceChildren(...reportOf(job));
      entries = job.report.length;
      return !isOver(job);
    } catch (e) {
      head.replaceChildren(failure('The job', e));
      return e.status === 0 || e.status >= 500;
    }
  });
}

// --- beginning one ---

const TEXT = {type: 'text', autocomplete: 'off', autocapitalize: 'none',
  spellcheck: 'false'};

function beginForm(title, verb, fields, begin) {
  const go = h('button', {type: 'submit'}, verb);
  const form = h('form', {class: 'filters', 'aria-label': title}, fields, go);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(go, begin);
  });
  return h('details', {class: 'card'}, h('summary', {}, title), form);
}

function importForm(providers, begun) {
  const provider = select(providers.map((name) => [name, name]), providers[0]);
  const owner = new OwnerPicker('For a');
  const purpose = h('input', TEXT);
  const prefix = h('input', TEXT);
  const ids = h('input', TEXT);
  const listOf = (text) => text.split(/[\s,]+/).filter(Boolean);
  return beginForm('Import files that a provider has', 'Import', [
    field('Provider', provider), owner.nodes,
    field('Purpose', purpose, 'empty: any'),
    field('Name begins with', prefix, 'empty: any'),
    field('Ids at the provider', ids, 'separated by commas; empty: all'),
  ], async () => {
    const upstream = listOf(ids.value);
    await begun(await post('/admin/files/import', {
      provider: provider.value, owner: (await owner.read()).member,
      ...(purpose.value.trim() && {purpose: purpose.value.trim()}),
      ...(prefix.value.trim() && {prefix: prefix.value.trim()}),
      ...(upstream.length && {upstream_ids: upstream}),
    }));
  });
}

const MODES = [
  ['report', 'report it'],
  ['mend', 'mend it'],
  ['delete', 'mend, delete strays'],
  ['adopt', 'mend, adopt strays'],
];

function reconcileForm(providers, begun) {
  const provider = select([['', 'all'], ...providers.map((n) => [n, n])], '');
  const mode = select(MODES, 'report');
  const owner = new OwnerPicker('Adopt for a');
  const turn = () => owner.use(mode.value === 'adopt');
  mode.addEventListener('change', turn);
  turn();
  return beginForm('Reconcile records, providers and quotas', 'Reconcile', [
    field('Provider', provider),
    field('What differs', mode, 'strays: files without a record'), owner.nodes,
  ], async () => {
    const how = mode.value;
    if (how === 'delete' && !await confirm('Delete files without a record?',
      'Files that did not come through filemux have none either. They are ' +
      'deleted at their providers. This cannot be undone.', 'Delete'))
      return;
    await begun(await post('/admin/reconcile', {
      mend: how !== 'report',
      ...(provider.value && {provider: provider.value}),
      ...(['delete', 'adopt'].includes(how) && {orphans: how}),
      ...(how === 'adopt' && {owner: (await owner.read()).member}),
    }));
  });
}

// --- the list ---

class Jobs {
  constructor(root) {
    this.before = []; // `after` of the pages before this one
    this.after = '';
    this.turn = 0;
    this.rows = new Map(); // id: what changes in its row
    this.forms = h('div', {});
    this.out = h('div', {class: 'list'});
    root.append(h('div', {class: 'title'}, h('h1', {}, 'Jobs'),
      button('Refresh', () => this.load())), this.forms, this.out);
  }

  async showForms() {
    const begun = (job) => {
      note(`${kindOf(job)}: begun as ${job.id}.`);
      this.before = [];
      this.after = '';
      return this.load();
    };
    try {
      const names = (await get('/admin/providers')).data.map((p) => p.name);
      this.forms.replaceChildren(importForm(names, begun),
        reconcileForm(names, begun));
    } catch (e) {
      this.forms.replaceChildren(failure('Beginning a job', e));
    }
  }

  // Asked again while one of them is under way.
  load() {
    const turn = ++this.turn;
    return follow(this.out, async () => {
      if (turn !== this.turn)
        return false;
      try {
        const reply = await get('/admin/jobs',
          {limit: PAGE, after: this.after});
        if (turn === this.turn)
          this.show(reply);
        return !reply.data.every(isOver);
      } catch (e) {
        if (turn === this.turn) {
          this.rows.clear();
          this.out.replaceChildren(failure('Jobs', e));
        }
        return e.status === 0 || e.status >= 500;
      }
    });
  }

  // Rows that stay are filled anew in their places, for the pointer and the
  // focus to stay where they are.
  show(reply) {
    const ids = reply.data.map((job) => job.id);
    if (!ids.length || ids.join() !== [...this.rows.keys()].join())
      this.build(reply);
    for (const job of reply.data)
      this.fill(job, this.rows.get(job.id));
  }

  build(reply) {
    const step = (after, work) => () => {
      work();
      this.after = after();
      return this.load();
    };
    this.rows = new Map(reply.data.map((job) => [job.id, {
      state: h('span', {}), progress: h('div', {}),
      actions: h('div', {class: 'row-actions'}),
    }]));
    this.out.replaceChildren(
      table('Jobs', this.columns(), reply.data, 'No jobs.'),
      pager(`Page ${this.before.length + 1}`, this.before.length &&
        step(() => this.before.pop(), () => {}), reply.has_more &&
        step(() => reply.last_id, () => this.before.push(this.after))));
  }

  columns() {
    const part = (name) => (job) => this.rows.get(job.id)[name];
    return [
      {title: 'Job', cell: (job) => [
        button(kindOf(job), () => showJob(job.id), {class: 'link',
          'aria-label': `${kindOf(job)} ${job.id}`}),
        h('code', {class: 'id under'}, job.id)]},
      {title: 'Of', cell: subject},
      {title: 'State', cell: part('state')},
      {title: 'Progress', cell: part('progress')},
      {title: 'Created', cell: (job) => time(job.created_at)},
      {title: 'Actions', cell: part('actions')},
    ];
  }

  fill(job, row) {
    const now = JSON.stringify(job);
    if (row.shown === now)
      return;
    row.shown = now;
    row.state.replaceChildren(stateOf(job));
    row.progress.replaceChildren(progress(job));
    if (isOver(job))
      row.actions.replaceChildren();
    else if (!row.actions.firstChild)
      row.actions.append(button('Stop', () => this.stop(job),
        {class: 'danger', 'aria-label': `Stop ${kindOf(job)} ${job.id}`}));
  }

  async stop(job) {
    if (!await confirm(`Stop ${kindOf(job)}?`,
      'What it has done stays done. It cannot be gone on with.', 'Stop it'))
      return;
    await post(`${pathOf(job.id)}/cancel`, {});
    await this.load();
  }
}

export function showJobs(root) {
  const jobs = new Jobs(root);
  jobs.showForms();
  return jobs.load();
}
