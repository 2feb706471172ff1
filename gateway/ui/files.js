// files.js -- the files of who is signed in; for the master key, also those of
// any owner, to look at: the API reads and deletes a file for its owner alone.

import {blob, get, remove, sendForm} from './api.js';
import {
  badge, busy, button, bytes, confirm, failure, field, h, note, pager, table,
  time,
} from './dom.js';
import {OwnerPicker, ownerText} from './owners.js';

const PAGE = 25;
// A download goes through this page's memory.
const LARGE = 256 << 20;

const KINDS = {processed: 'good', uploaded: '', error: 'bad'};

class Files {
  constructor(root, isMaster) {
    this.filters = {};
    this.before = []; // `after` of the pages before this one
    this.after = '';
    this.turn = 0;
    this.owner = null; // or as the picker tells: another's files
    this.picker = isMaster && new OwnerPicker('Files of', 'the master key');
    this.whose = h('p', {class: 'soft', role: 'status'});
    this.out = h('div', {class: 'list'});
    this.uploads = this.uploadForm();
    root.append(h('div', {class: 'title'}, h('h1', {}, 'Files')),
      this.uploads, this.filterForm(), this.whose, this.out);
  }

  uploadForm() {
    const file = h('input', {type: 'file', required: true});
    const purpose = h('input', {type: 'text', value: 'user_data',
      required: true, autocomplete: 'off', autocapitalize: 'none'});
    const provider = h('input', {type: 'text', autocomplete: 'off',
      autocapitalize: 'none', placeholder: 'the default'});
    const go = h('button', {type: 'submit'}, 'Upload');
    const form = h('form', {class: 'filters', 'aria-label': 'Upload a file'},
      field('File', file), field('Purpose', purpose),
      field('Provider', provider), go);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(go, async () => {
        await this.upload(file.files[0], purpose.value.trim(),
          provider.value.trim());
        file.value = '';
      });
    });
    return h('details', {class: 'card'}, h('summary', {}, 'Upload a file'),
      form);
  }

  // What decides about the file stands before it in the form.
  async upload(file, purpose, provider) {
    const form = new FormData();
    form.append('purpose', purpose);
    if (provider)
      form.append('provider', provider);
    form.append('file', file);
    const made = await sendForm('/v1/files', form);
    note(`Uploaded as ${made.id}.`);
    await this.first();
  }

  filterForm() {
    const controls = ['purpose', 'provider'].map((name) => {
      const control = h('input', {type: 'search', autocomplete: 'off',
        autocapitalize: 'none'});
      const title = name[0].toUpperCase() + name.slice(1);
      return {name, control, node: field(title, control)};
    });
    const go = h('button', {type: 'submit'}, 'Filter');
    const form = h('form', {class: 'filters', role: 'search',
      'aria-label': 'Filter files'},
    this.picker && this.picker.nodes, controls.map((c) => c.node), go);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(go, async () => {
        this.owner = this.picker && await this.picker.read();
        for (const c of controls)
          this.filters[c.name] = c.control.value.trim();
        await this.first();
      });
    });
    return form;
  }

  first() {
    this.before = [];
    this.after = '';
    return this.load();
  }

  tellWhose() {
    this.uploads.hidden = Boolean(this.owner);
    if (!this.owner) {
      this.whose.textContent = '';
      return;
    }
    const {owner, why} = this.owner;
    this.whose.textContent = `Files of ${ownerText(owner)}` +
      `${why ? ` (${why})` : ''}. Only a virtual key of this owner can ` +
      'download or delete them: sign in with one for that.';
  }

  async load() {
    const turn = ++this.turn;
    this.tellWhose();
    try {
      const [path, of] = this.owner
        ? ['/admin/files', {owner: this.owner.owner}] : ['/v1/files', {}];
      const reply = await get(path,
        {...of, limit: PAGE, after: this.after, ...this.filters});
      if (turn === this.turn)
        this.show(reply);
    } catch (e) {
      if (turn === this.turn)
        this.out.replaceChildren(failure('Files', e));
    }
  }

  show(reply) {
    const back = () => {
      this.after = this.before.pop();
      return this.load();
    };
    const on = () => {
      this.before.push(this.after);
      this.after = reply.last_id;
      return this.load();
    };
    this.out.replaceChildren(
      table('Files', this.columns(), reply.data, 'No files.'),
      pager(`Page ${this.before.length + 1}`, this.before.length && back,
        reply.has_more && on));
  }

  columns() {
    return [
      {title: 'File', cell: (f) => [f.filename || '(no name)',
        h('code', {class: 'id under'}, f.id)]},
      {title: 'Size', number: true, cell: (f) => bytes(f.bytes)},
      {title: 'Purpose', cell: (f) => f.purpose},
      {title: 'Provider', cell: (f) => (f.filemux || {}).provider || '–'},
      {title: 'Status', cell: (f) => badge(f.status, KINDS[f.status])},
      {title: 'Created', cell: (f) => time(f.created_at)},
      {title: 'Expires', cell: (f) => time(f.expires_at, 'never')},
      ...(this.owner ? [] : [this.actions()]),
    ];
  }

  actions() {
    return {title: 'Actions', cell: (f) => h('div', {class: 'row-actions'},
        button('Download', () => this.download(f),
          {'aria-label': `Download ${f.filename || f.id}`}),
        button('Delete', () => this.remove(f),
          {class: 'danger', 'aria-label': `Delete ${f.filename || f.id}`}))};
  }

  async download(f) {
    if (f.bytes > LARGE && !await confirm('A large file',
      `${f.filename} has ${bytes(f.bytes)}, which this page must hold until ` +
      'the browser has saved it.', 'Download'))
      return;
    const data = await blob(`/v1/files/${encodeURIComponent(f.id)}/content`);
    const url = URL.createObjectURL(new Blob([data],
      {type: 'application/octet-stream'}));
    const link = h('a', {href: url, download: f.filename || f.id});
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  async remove(f) {
    if (!await confirm(`Delete ${f.filename || f.id}?`,
      'It is deleted at its provider. This cannot be undone.', 'Delete'))
      return;
    await remove(`/v1/files/${encodeURIComponent(f.id)}`);
    note('The file is deleted.');
    await this.load();
  }
}

export const showFiles = (root, session) =>
  new Files(root, session.isMaster).load();
