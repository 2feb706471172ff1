// limits.js -- what a key or a team may do: as a form, and as bars of use.
//
// FIELDS is the form; QUOTAS says which limit is compared with which counter.

import {badge, bytes, count, exactSize, field, h} from './dom.js';

const OPERATIONS = ['create', 'read', 'list', 'delete', 'content', 'batch',
  'forward'];
const LIMITS = 'Limits (empty: none)';
const ACCESS = 'Access';
const SIZE_HINT = 'such as 512MB or 1.5GB';
const NAMES_HINT = 'separated by commas; empty: all';

// kinds: text, number, size, seconds, names (a list), checks (of a fixed list)
const FIELDS = [
  {name: 'key_alias', title: 'Alias', kind: 'text', of: 'key'},
  {name: 'team_id', title: 'Team', kind: 'text', of: 'key',
    hint: 'id of its team; owns the files'},
  {name: 'user_id', title: 'User', kind: 'text', of: 'key'},
  {name: 'duration', title: 'Valid for', kind: 'text', of: 'key',
    hint: 'such as 12h or 30d; empty: no change, or for ever'},
  {name: 'team_id', title: 'Id', kind: 'text', of: 'team', isFixed: true,
    hint: 'empty: one is made'},
  {name: 'team_alias', title: 'Name', kind: 'text', of: 'team'},

  {name: 'max_storage_bytes', title: 'Storage', kind: 'size', part: LIMITS,
    hint: SIZE_HINT},
  {name: 'max_files', title: 'Files', kind: 'number', part: LIMITS},
  {name: 'max_file_bytes', title: 'Size of one file', kind: 'size',
    part: LIMITS, hint: SIZE_HINT},
  {name: 'max_upload_bytes_per_day', title: 'Upload per day', kind: 'size',
    part: LIMITS, hint: SIZE_HINT},
  {name: 'max_download_bytes_per_day', title: 'Download per day',
    kind: 'size', part: LIMITS, hint: SIZE_HINT},
  {name: 'rpm_limit', title: 'Requests per minute', kind: 'number',
    part: LIMITS},
  {name: 'max_parallel_requests', title: 'Requests at a time', kind: 'number',
    part: LIMITS},
  {name: 'max_active_batches', title: 'Batches at a time', kind: 'number',
    part: LIMITS},
  {name: 'max_batch_lines_per_day', title: 'Lines of batches per day',
    kind: 'number', part: LIMITS},

  {name: 'providers', title: 'Providers', kind: 'names', part: ACCESS,
    hint: NAMES_HINT},
  {name: 'default_provider', title: 'Default provider', kind: 'text',
    part: ACCESS},
  {name: 'purposes', title: 'Purposes', kind: 'names', part: ACCESS,
    hint: NAMES_HINT},
  {name: 'models', title: 'Models', kind: 'names', part: ACCESS,
    hint: NAMES_HINT},
  {name: 'operations', title: 'Operations', kind: 'checks', part: ACCESS,
    hint: 'none ticked: all', words: OPERATIONS},
  {name: 'file_expiry_seconds', title: 'Files expire after', kind: 'seconds',
    part: ACCESS, hint: 'such as 12h or 30d'},
  {name: 'tags', title: 'Tags', kind: 'names', part: ACCESS,
    hint: 'separated by commas'},
];

const SECONDS = {s: 1, m: 60, h: 3600, d: 86400};

function secondsText(n) {
  for (const unit of ['d', 'h', 'm'])
    if (n % SECONDS[unit] === 0)
      return `${n / SECONDS[unit]}${unit}`;
  return `${n}`;
}

// What is not understood goes to the server as it is, which says why not.
function readSeconds(text) {
  const m = /^(\d+)\s*([smhd]?)$/.exec(text);
  return m ? Number(m[1]) * SECONDS[m[2] || 's'] : text;
}

const WRITE = {
  size: exactSize,
  seconds: secondsText,
  names: (v) => v.join(', '),
};
const READ = {
  number: (t) => (/^\d+$/.test(t) ? Number(t) : t),
  seconds: readSeconds,
  names: (t) => t.split(',').map((s) => s.trim()).filter(Boolean),
};

const isEmpty = (v) =>
  v === null || v === undefined || v === '' || (Array.isArray(v) && !v.length);

function textOf(f, value) {
  if (isEmpty(value))
    return '';
  return WRITE[f.kind] ? WRITE[f.kind](value) : String(value);
}

// --- the form ---

function checks(f, value) {
  const boxes = f.words.map((word) => h('input', {
    type: 'checkbox', value: word, checked: (value || []).includes(word)}));
  const node = h('fieldset', {class: 'checks'}, h('legend', {}, f.title),
    boxes.map((box, i) => h('label', {}, box, f.words[i])),
    h('span', {class: 'hint'}, f.hint));
  const read = () => boxes.filter((b) => b.checked).map((b) => b.value);
  return {node, read, control: boxes[0]};
}

function entry(f, value) {
  if (f.kind === 'checks')
    return checks(f, value);
  const control = h('input', {
    type: 'text', value: textOf(f, value), autocomplete: 'off',
    spellcheck: 'false', autocapitalize: 'none',
    inputmode: f.kind === 'number' && 'numeric',
  });
  const node = field(f.title, control, f.hint);
  const read = () => {
    const text = control.value.trim();
    return text && READ[f.kind] ? READ[f.kind](text) : text;
  };
  return {node, read, control};
}

// A form for a new key or team (old is null) or a changed one. save(changes)
// gets what was entered or changed; null clears. The server's refusal is shown
// at the field that it names.
export function limitsForm(of, old, verb, save) {
  const shown = FIELDS.filter((f) =>
    (!f.of || f.of === of) && !(old && f.isFixed));
  const entries = shown.map((f) => ({f, ...entry(f, old && old[f.name])}));
  for (const e of entries)
    e.before = JSON.stringify(e.read());
  const fault = h('p', {class: 'error', role: 'alert'});
  const parts = ['', LIMITS, ACCESS].map((part) => {
    const nodes = entries.filter((e) => (e.f.part || '') === part)
      .map((e) => e.node);
    return h('fieldset', {class: 'part'},
      part && h('legend', {}, part),
      h('div', {class: 'fields'}, nodes));
  });
  const form = h('form', {autocomplete: 'off', novalidate: true}, parts, fault,
    h('div', {class: 'buttons'},
      h('button', {type: 'submit', class: 'primary'}, verb)));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit(entries, fault, form, save);
  });
  return form;
}

function changesOf(entries) {
  const out = {};
  for (const e of entries) {
    const value = e.read();
    if (JSON.stringify(value) !== e.before)
      out[e.f.name] = isEmpty(value) ? null : value;
  }
  return out;
}

async function submit(entries, fault, form, save) {
  const go = form.querySelector('button[type=submit]');
  fault.textContent = '';
  entries.forEach((e) => e.control.removeAttribute('aria-invalid'));
  go.disabled = true;
  try {
    await save(changesOf(entries));
  } catch (error) {
    const wrong = entries.find((e) => e.f.name === error.param);
    fault.textContent = error.message;
    if (wrong) {
      wrong.control.setAttribute('aria-invalid', 'true');
      wrong.control.focus();
    }
  } finally {
    go.disabled = false;
  }
}

// --- usage ---

const QUOTAS = [
  {limit: 'max_storage_bytes', used: ['storage_bytes', 'reserved_bytes'],
    title: 'Storage', show: bytes},
  {limit: 'max_files', used: ['files', 'reserved_files'], title: 'Files',
    show: count},
  {limit: 'max_upload_bytes_per_day', used: ['upload_bytes_today'],
    title: 'Upload today', show: bytes},
  {limit: 'max_download_bytes_per_day', used: ['download_bytes_today'],
    title: 'Download today', show: bytes},
  {limit: 'rpm_limit', used: ['requests_per_minute'],
    title: 'Requests per minute', show: count},
  {limit: 'max_parallel_requests', used: ['parallel_requests'],
    title: 'Requests now', show: count},
  {limit: 'max_active_batches', used: ['active_batches'],
    title: 'Batches now', show: count},
  {limit: 'max_batch_lines_per_day', used: ['batch_lines_today'],
    title: 'Lines of batches today', show: count},
];

// [{title, used, limit, show}] of an object with counters in `usage`; null
// when it has none. What uploads under way have reserved is used.
export function quotasOf(object) {
  const usage = object.usage;
  if (!usage)
    return null;
  return QUOTAS.map((q) => ({
    title: q.title, show: q.show, limit: object[q.limit] || null,
    used: q.used.reduce((n, name) => n + (usage[name] || 0), 0),
  }));
}

function fillOf(q) {
  const part = Math.min(q.used / q.limit, 1);
  const inside = h('div', {class: 'fill'});
  inside.style.width = `${part * 100}%`;
  return inside;
}

export function bar(q, isSmall = false) {
  const used = q.show(q.used);
  const label = h('span', {}, q.title);
  if (!q.limit)
    return h('div', {class: 'quota'}, label,
      h('span', {class: 'amount'}, used, h('span', {class: 'soft'},
        ' (no limit)')));
  const percent = Math.floor(q.used / q.limit * 100);
  const kind = percent >= 100 ? 'full' : percent >= 80 ? 'high' : '';
  const told = `${used} of ${q.show(q.limit)}`;
  const meter = h('div', {
    class: `meter ${kind}`, role: 'meter', 'aria-label': q.title,
    'aria-valuemin': 0, 'aria-valuemax': q.limit,
    'aria-valuenow': Math.min(q.used, q.limit), 'aria-valuetext': told,
  }, fillOf(q));
  if (isSmall)
    return h('div', {class: 'quota small'}, meter, h('span', {}, q.title),
      h('span', {class: 'amount'}, told));
  return h('div', {class: 'quota'}, label,
    h('span', {class: 'amount'}, `${told} (${percent} %)`), meter);
}

export function bars(object) {
  const quotas = quotasOf(object);
  if (!quotas)
    return h('p', {class: 'soft'}, 'Counters: not available on this server.');
  return h('div', {class: 'quotas'}, quotas.map((q) => bar(q)));
}

// The quota that is nearest to its end, for a list.
export function tightest(object) {
  const limited = (quotasOf(object) || []).filter((q) => q.limit);
  limited.sort((a, b) => b.used / b.limit - a.used / a.limit);
  return limited[0];
}

export const hasLimits = (object) => QUOTAS.some((q) => object[q.limit]);

export function stateOf(object) {
  const expires = object.expires && new Date(object.expires);
  if (object.blocked)
    return badge('blocked', 'bad');
  if (expires && expires < new Date())
    return badge('expired', 'warn');
  return badge('active', 'good');
}

// [title, text] of all that is set and stands at no bar.
export function facts(of, object) {
  const barred = quotasOf(object) ? QUOTAS.map((q) => q.limit) : [];
  return FIELDS.filter((f) => (!f.of || f.of === of) &&
      !isEmpty(object[f.name]) && !barred.includes(f.name))
    .map((f) => [f.title, f.kind === 'size' ? bytes(object[f.name])
      : f.kind === 'checks' ? object[f.name].join(', ')
        : textOf(f, object[f.name])]);
}
