// holders.js -- keys and teams: listed, made, changed, blocked, deleted.
//
// Both are holders of limits and differ in names alone, which KINDS tells.

import {get, post} from './api.js';
import {
  busy, button, confirm, copy, count, dialog, failure, field, h, note, pager,
  table, time,
} from './dom.js';
import {showJob} from './jobs.js';
import {
  bar, bars, facts, hasLimits, limitsForm, stateOf, tightest,
} from './limits.js';

const PAGE = 25;

const KINDS = {
  key: {
    noun: 'key', title: 'Keys', list: '/key/list', make: '/key/generate',
    info: '/key/info', idName: 'key', many: 'keys', id: (o) => o.token,
    label: (o) => o.key_alias || o.key_name || o.token,
    infoOf: (r) => r.info,
    lost: 'Requests with it are refused from now on. This cannot be undone.',
    filters: [['key_alias', 'Alias'], ['team_id', 'Team'],
      ['user_id', 'User']],
  },
  team: {
    noun: 'team', title: 'Teams', list: '/team/list', make: '/team/new',
    info: '/team/info', idName: 'team_id', many: 'team_ids',
    isWhole: true, id: (o) => o.team_id,
    label: (o) => o.team_alias || o.team_id,
    infoOf: (r) => ({...r.team_info, total_keys: r.total_keys}),
    lost: 'Its keys are deleted with it. This cannot be undone.',
    filters: [['team_alias', 'Name or id']],
  },
};

// --- the list ---

// One screen: its filters and page are kept while it is shown.
class Holders {
  constructor(kind, root) {
    this.kind = KINDS[kind];
    this.of = kind;
    this.page = 1;
    this.filters = {};
    this.turn = 0;
    this.out = h('div', {class: 'list'});
    root.append(
      h('div', {class: 'title'}, h('h1', {}, this.kind.title),
        button(`New ${kind}`, () => this.edit(null), {class: 'primary'})),
      this.filterForm(), this.out);
  }

  filterForm() {
    const controls = this.kind.filters.map(([name, title]) => {
      const control = h('input', {type: 'search', autocomplete: 'off'});
      return {name, control, node: field(title, control)};
    });
    const form = h('form', {class: 'filters', role: 'search',
      'aria-label': `Filter ${this.kind.many}`},
    controls.map((c) => c.node), h('button', {type: 'submit'}, 'Filter'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      for (const c of controls)
        this.filters[c.name] = c.control.value.trim();
      this.page = 1;
      this.load();
    });
    return form;
  }

  // {rows, total}. Teams come all at once, as LiteLLM's do.
  async fetchPage() {
    if (!this.kind.isWhole) {
      const reply = await get(this.kind.list, {page: this.page, size: PAGE,
        return_full_object: true, ...this.filters});
      return {rows: reply.keys, total: reply.total_count};
    }
    const wanted = (this.filters.team_alias || '').toLowerCase();
    const found = (await get(this.kind.list)).filter((o) =>
      `${o.team_alias || ''} ${o.team_id}`.toLowerCase().includes(wanted));
    const first = (this.page - 1) * PAGE;
    return {rows: found.slice(first, first + PAGE), total: found.length};
  }

  async load() {
    const turn = ++this.turn;
    try {
      const {rows, total} = await this.fetchPage();
      if (turn === this.turn)
        this.show(rows, total);
    } catch (e) {
      if (turn === this.turn)
        this.out.replaceChildren(failure(this.kind.title, e));
    }
  }

  show(rows, total) {
    const pages = Math.max(1, Math.ceil(total / PAGE));
    const go = (page) => () => {
      this.page = page;
      return this.load();
    };
    const used = new Map(rows.map((o) => [o, h('span', {}, '–')]));
    this.out.replaceChildren(
      table(this.kind.title, this.columns(used), rows,
        `No ${this.kind.noun} matches.`),
      pager(`Page ${this.page} of ${pages}, ${total} in all`,
        this.page > 1 && go(this.page - 1),
        this.page < pages && go(this.page + 1)));
    this.fillUsed(used, this.turn);
  }

  columns(used) {
    const owner = this.of === 'key' ? [
      {title: 'Team', cell: (o) => o.team_id || '–'},
      {title: 'User', cell: (o) => o.user_id || '–'},
      {title: 'Expires', cell: (o) => time(o.expires, 'never')},
    ] : [
      {title: 'Id', cell: (o) => o.team_id},
    ];
    return [
      {title: this.of === 'key' ? 'Key' : 'Team', cell: (o) => [
        button(this.kind.label(o), () => this.open(o), {class: 'link'}),
        o.key_alias && h('span', {class: 'soft under'}, o.key_name)]},
      {title: 'State', cell: stateOf},
      {title: 'Nearest limit', cell: (o) => used.get(o)},
      ...owner,
      {title: 'Created', cell: (o) => time(o.created_at)},
    ];
  }

  // The list has no counters of its own: those that are limited are asked for
  // one after the other, until another list is shown.
  async fillUsed(used, turn) {
    for (const [object, cell] of used) {
      if (!hasLimits(object))
        continue;
      try {
        const full = object.usage ? object : await this.infoOf(object);
        const quota = tightest(full);
        if (turn !== this.turn || !full.usage)
          return;
        if (quota)
          cell.replaceChildren(bar(quota, true));
      } catch {
        return;
      }
    }
  }

  async infoOf(object) {
    const named = {[this.kind.idName]: this.kind.id(object)};
    return this.kind.infoOf(await get(this.kind.info, named));
  }

  // --- one of them ---

  async open(object) {
    const full = {...object, ...await this.infoOf(object)};
    const node = dialog(this.kind.label(full),
      h('p', {}, stateOf(full), ' ',
        h('code', {class: 'id'}, this.kind.id(full))),
      bars(full),
      h('dl', {class: 'facts'}, [...facts(this.of, full),
        full.total_keys !== undefined && ['Keys', count(full.total_keys)],
        ['Created', time(full.created_at)],
        this.of === 'key' && ['Expires', time(full.expires, 'never')],
      ].filter(Boolean).map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)])),
      h('div', {class: 'buttons'}, this.actions(full, () => node.close())));
  }

  actions(object, close) {
    const verb = object.blocked ? 'unblock' : 'block';
    const then = (work) => async () => {
      if (await work() !== false) {
        close();
        await this.load();
      }
    };
    return [
      button('Edit', () => {
        close();
        this.edit(object);
      }),
      button(verb === 'block' ? 'Block' : 'Unblock', then(async () => {
        await post(`/${this.of}/${verb}`,
          {[this.kind.idName]: this.kind.id(object)});
        note(`The ${this.of} is ${verb}ed.`);
      })),
      this.of === 'key' &&
        button('Regenerate', then(() => this.regenerate(object))),
      button('Delete', async () => {
        const jobs = await this.remove(object);
        if (!jobs)
          return;
        close();
        jobs.forEach(showJob);
        await this.load();
      }, {class: 'danger'}),
    ];
  }

  edit(old) {
    const id = old && {[this.kind.idName]: this.kind.id(old)};
    const path = old ? `/${this.of}/update` : this.kind.make;
    const form = limitsForm(this.of, old, old ? 'Save' : 'Create',
      async (changes) => {
        const reply = await post(path, {...changes, ...id});
        node.close();
        if (reply.key && !old)
          showSecret(reply.key);
        else
          note(`The ${this.of} is saved.`);
        await this.load();
      });
    const node = dialog(
      old ? `Edit ${this.kind.label(old)}` : `New ${this.of}`, form);
  }

  async regenerate(object) {
    if (!await confirm('Regenerate the secret?',
      `${this.kind.label(object)} gets a new secret and keeps its files, ` +
      'limits and counters. The old secret stops working at once.',
      'Regenerate'))
      return false;
    const reply = await post('/key/regenerate', {key: object.token});
    showSecret(reply.key);
    return true;
  }

  // The ids of the jobs that delete its files, or null: it was not deleted.
  async remove(object) {
    const box = h('input', {type: 'checkbox'});
    const owner = this.of === 'key' &&
      (object.team_id ? 'team' : object.user_id ? 'user' : '');
    if (!await confirm(`Delete ${this.kind.label(object)}?`,
      this.kind.lost, 'Delete', owner
        ? h('p', {class: 'soft'}, `Its files are its ${owner}'s, and stay.`)
        : h('label', {class: 'check'}, box, 'Delete its files at their ' +
          'providers too; they are kept otherwise')))
      return null;
    const reply = await post(`/${this.of}/delete`, {
      [this.kind.many]: [this.kind.id(object)],
      ...(box.checked ? {delete_files: true} : {}),
    });
    note(`The ${this.of} is deleted.`);
    return reply.jobs || [];
  }
}

// The one time that a secret is seen: it goes with the dialog.
function showSecret(secret) {
  const input = h('input', {type: 'text', readonly: true, value: secret,
    class: 'secret', autocomplete: 'off', spellcheck: 'false'});
  const go = h('button', {type: 'button', class: 'primary'}, 'Copy');
  const done = h('button', {type: 'button'}, 'Done');
  const node = dialog('The secret of the key',
    h('p', {}, 'It is shown this once: the server keeps a hash of it alone.'),
    field('Secret', input),
    h('div', {class: 'buttons'}, done, go));
  go.addEventListener('click', () => busy(go, () => copy(input)));
  done.addEventListener('click', () => node.close());
  input.select();
}

export const showKeys = (root) => new Holders('key', root).load();
export const showTeams = (root) => new Holders('team', root).load();
