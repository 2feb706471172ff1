// metrics.js -- /metrics, sampled while the page is open.
//
// The counters are those of the process that answers, since it began. A number
// that fell means that another process answered, or a new one: a gap.

import {text} from './api.js';

export const EVERY_MS = 5000;
export const KEPT_MS = 3600 * 1000;
const GAP_MS = 4 * EVERY_MS;
const LINE = /^(filemux_[a-z_]+?)(?:\{(.*)\})? ([-+0-9.e]+)$/;
// What operators and this page ask for is not the traffic of files.
const OWN = /^(metrics|ui$|health\.|key\.|team\.|admin\.|usage)/;

// [{name, labels: {provider: …}, value}]
export function parse(body) {
  const out = [];
  for (const line of body.split('\n')) {
    const m = LINE.exec(line);
    if (!m)
      continue;
    const labels = {};
    for (const [, name, value] of
      (m[2] || '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g))
      labels[name] = value;
    out.push({name: m[1], labels, value: Number(m[3])});
  }
  return out;
}

const read = async () => parse(await text('/metrics'));

const sum = (series, name, matches = () => true) =>
  series.filter((s) => s.name === name && matches(s.labels))
    .reduce((total, s) => total + s.value, 0);

// Bytes are those between here and the providers: what clients are sent
// includes this page.
function sampleOf(series) {
  return {
    t: Date.now(),
    requests: sum(series, 'filemux_requests_total', (l) =>
      !OWN.test(l.route || '')),
    up: sum(series, 'filemux_upstream_bytes_out_total'),
    down: sum(series, 'filemux_upstream_bytes_in_total'),
  };
}

export class Sampler {
  constructor() {
    this.samples = [];
    this.error = null;
    this.onsample = null;
    this.timer = setInterval(() => this.take(), EVERY_MS);
    this.take();
  }

  stop() {
    clearInterval(this.timer);
    this.onsample = null;
  }

  async take() {
    try {
      this.samples.push(sampleOf(await read()));
      this.error = null;
    } catch (e) {
      this.error = e;
    }
    const first = Date.now() - KEPT_MS;
    while (this.samples.length && this.samples[0].t < first)
      this.samples.shift();
    if (this.onsample)
      this.onsample();
  }

  // [[ms, per second or null]]
  rates(name) {
    return this.samples.slice(1).map((now, i) => {
      const before = this.samples[i];
      const dt = now.t - before.t;
      const grown = now[name] - before[name];
      return [now.t, grown < 0 || dt > GAP_MS || !dt ? null
        : grown * 1000 / dt];
    });
  }
}
