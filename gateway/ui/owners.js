// owners.js -- whose files: a team's, a user's or a key's, chosen by name.
//
// What is offered are the teams, and the users and the ids of the keys, that
// there are now. Any other id may be typed: files outlive their owner.

import {get} from './api.js';
import {field, h, select} from './dom.js';

const PAGE = 100;
const PAGES_MAX = 10; // of keys; more of them are named by typing

const KINDS = {team: 'Team', user: 'User', key: 'Key'};
const LETTERS = {t: 'team', u: 'user', k: 'key'};

// "t:red" for people.
export function ownerText(owner) {
  const id = owner.slice(2);
  const short = /^[0-9a-f]{64}$/.test(id) ? `${id.slice(0, 12)}…` : id;
  return `${LETTERS[owner[0]] || ''} ${short}`.trim();
}

async function allKeys() {
  const keys = [];
  for (let page = 1; page <= PAGES_MAX; page++) {
    const reply = await get('/key/list',
      {page, size: PAGE, return_full_object: true});
    keys.push(...reply.keys);
    if (keys.length >= reply.total_count || !reply.keys.length)
      break;
  }
  return keys;
}

const nameOf = (k) => k.key_alias || k.key_id || k.token;

// [value, label] of what is offered of a kind.
const OFFERS = {
  team: async () => (await get('/team/list'))
    .map((t) => [t.team_id, t.team_alias]),
  user: async (keys) =>
    [...new Set((await keys()).map((k) => k.user_id).filter(Boolean))]
      .map((user) => [user]),
  key: async (keys) => (await keys()).map((k) => [nameOf(k), k.key_name]),
};

let nextId = 1;

// Two fields. `title` is the first one's; `mine`, if told, the name of the
// choice that is nobody of these.
export class OwnerPicker {
  constructor(title, mine) {
    this.kind = select([...(mine ? [['', mine]] : []),
      ...Object.entries(KINDS)], mine ? '' : 'team');
    this.offered = h('datalist', {id: `o${nextId++}`});
    this.id = h('input', {type: 'text', list: this.offered.id,
      autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false'});
    this.idField = field('Team', this.id, 'a name offered, or an id');
    this.nodes = [field(title, this.kind), this.idField, this.offered];
    this.kind.addEventListener('change', () => this.turn());
    this.turn();
  }

  use(isUsed) {
    for (const node of this.nodes)
      node.hidden = !isUsed;
    this.kind.disabled = !isUsed;
    this.turn();
  }

  // The second field follows the first.
  async turn() {
    const kind = this.kind.disabled ? '' : this.kind.value;
    this.idField.hidden = !kind;
    this.id.required = Boolean(kind);
    this.id.value = '';
    if (!kind)
      return;
    this.idField.querySelector('label').textContent = KINDS[kind];
    this.offered.replaceChildren();
    // Without offers there is still typing.
    const offers = await OFFERS[kind](() => this.keys()).catch(() => []);
    if (kind === this.kind.value)
      this.offered.replaceChildren(...offers.map(([value, label]) =>
        h('option', {value, label})));
  }

  keys() {
    this.asked ||= allKeys().catch((e) => {
      this.asked = null;
      throw e;
    });
    return this.asked;
  }

  // {owner: "t:red", member: {team_id: "red"}, why}, or null for `mine`. The
  // files of a key in a team are the team's; of a user's key, the user's.
  async read() {
    const kind = this.kind.value;
    const id = this.id.value.trim();
    if (!kind)
      return null;
    if (!id)
      throw new Error(`which ${kind}?`);
    if (kind !== 'key')
      return {owner: `${kind[0]}:${id}`, member: {[`${kind}_id`]: id}};
    if (/^sk-/.test(id))
      throw new Error('a key is named by its alias or id, not by its secret');
    const known = (await this.keys().catch(() => []))
      .find((k) => [k.key_alias, k.key_id, k.token].includes(id));
    const key = known || {key_id: id, token: id};
    const why = `the key ${id} keeps its files there`;
    const member = {key: key.token};
    if (key.team_id)
      return {owner: `t:${key.team_id}`, member, why};
    if (key.user_id)
      return {owner: `u:${key.user_id}`, member, why};
    return {owner: `k:${key.key_id || key.token}`, member,
      why: key.key_alias && `its alias is ${key.key_alias}`};
  }
}
