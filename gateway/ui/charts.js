// charts.js -- lines over time and bars per day, as inline SVG.
//
// Drawn at the width of their place, and again when that changes, so that text
// has the size of other text on every screen.

import {h, svg} from './dom.js';

const HEIGHT = 150;
const LEFT = 58;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;

// The least 1, 2 or 5 times a power of ten (bytes: of two) that holds v.
function ceilingOf(v, isBytes) {
  if (isBytes)
    return 2 ** Math.ceil(Math.log2(Math.max(v, 1024)));
  if (v <= 0)
    return 2;
  const power = 10 ** Math.floor(Math.log10(v));
  return power * [1, 2, 5, 10].find((m) => m * power >= v);
}

function frame(width, top, show) {
  const y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - v / top);
  const lines = [0, 0.5, 1].map((part) => [
    svg('line', {class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(part * top),
      y2: y(part * top)}),
    svg('text', {x: LEFT - 6, y: y(part * top) + 4, 'text-anchor': 'end'},
      show(part * top)),
  ]);
  return {y, lines};
}

function place(label, draw) {
  const node = h('div', {class: 'chart'});
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > LEFT + 40)
      node.replaceChildren(svg('svg', {role: 'img', 'aria-label': label, width,
        height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`}, draw(width)));
  }).observe(node);
  return node;
}

function legend(series) {
  if (series.length < 2)
    return null;
  return h('div', {class: 'legend', 'aria-hidden': 'true'}, series.map((s, i) =>
    h('span', {class: `key${i}`}, s.name)));
}

const figure = (title, chart, series) =>
  h('figure', {}, h('figcaption', {}, title, legend(series)), chart);

// series: [{name, points: [[ms, value or null]]}]; null breaks the line.
export function lineChart({title, label, series, from, to, show, isBytes}) {
  const values = series.flatMap((s) => s.points.map((p) => p[1] || 0));
  const top = ceilingOf(Math.max(0, ...values), isBytes);
  return figure(title, place(label, (width) => {
    const {y, lines} = frame(width, top, show);
    const x = (t) => LEFT + (width - LEFT - RIGHT) * (t - from) / (to - from);
    return [lines, series.map((s, i) => svg('path',
      {class: `line${i}`, d: pathOf(s.points, x, y)})),
    timeAxis(width)];
  }), series);
}

function pathOf(points, x, y) {
  let isDown = false;
  return points.map(([t, v]) => {
    if (v === null) {
      isDown = false;
      return '';
    }
    const word = isDown ? 'L' : 'M';
    isDown = true;
    return `${word}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
  }).join('');
}

function timeAxis(width) {
  const marks = [[0, '1 h ago', 'start'], [0.5, '30 min', 'middle'],
    [1, 'now', 'end']];
  return marks.map(([part, text, anchor]) => svg('text', {
    x: LEFT + (width - LEFT - RIGHT) * part, y: HEIGHT - 4,
    'text-anchor': anchor}, text));
}

// series stacked: [{name, values: [one per day]}]; days: ['2026-01-31'].
export function barChart({title, label, series, days, show, isBytes}) {
  const totals = days.map((_, i) =>
    series.reduce((sum, s) => sum + s.values[i], 0));
  const top = ceilingOf(Math.max(0, ...totals), isBytes);
  return figure(title, place(label, (width) => {
    const {y, lines} = frame(width, top, show);
    const step = (width - LEFT - RIGHT) / days.length;
    return [lines, days.map((name, i) =>
      dayBar(name, i, series, {y, step, show})), dayAxis(width, days)];
  }), series);
}

function dayBar(name, i, series, {y, step, show}) {
  let below = 0;
  const told = series.map((s) => `${s.name} ${show(s.values[i])}`).join(', ');
  const parts = series.map((s, k) => {
    const from = below;
    below += s.values[i];
    return svg('rect', {class: `bar${k}`, x: LEFT + i * step + step * 0.12,
      width: step * 0.76, y: y(below), height: y(from) - y(below)});
  });
  return svg('g', {}, svg('title', {}, `${name}: ${told}`),
    svg('rect', {class: 'hover', x: LEFT + i * step, width: step, y: TOP,
      height: HEIGHT - TOP - BOTTOM}), parts);
}

const dayAxis = (width, days) => [
  svg('text', {x: LEFT, y: HEIGHT - 4}, days[0]),
  svg('text', {x: width - RIGHT, y: HEIGHT - 4, 'text-anchor': 'end'},
    days[days.length - 1]),
];
