// usage.js -- what the signed-in virtual key has used, and may use.

import {get} from './api.js';
import {button, failure, h} from './dom.js';
import {bars, facts} from './limits.js';

function part(title, object, of) {
  const rows = facts(of, object);
  return h('section', {class: 'card', 'aria-label': title},
    h('h2', {}, title), bars(object),
    rows.length && h('dl', {class: 'facts'},
      rows.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v)])));
}

export async function showUsage(root) {
  const out = h('div', {});
  const load = async () => {
    try {
      const {key, team} = await get('/v1/usage');
      out.replaceChildren(part('This key', key, 'key'), team
        ? part('Its team, all keys together', team, 'team') : '');
    } catch (e) {
      out.replaceChildren(failure('Usage', e));
    }
  };
  root.append(h('div', {class: 'title'}, h('h1', {}, 'Usage'),
    button('Refresh', load)), out);
  await load();
}
