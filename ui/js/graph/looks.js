// @ts-check
// How nodes and edges look at the cursor: what fires is large and bright, what fired is a faint dot, and around a
// selected node only its neighbours stay clear. Pure: it writes nothing but the looks of the items it is given.

import { activationColor, between, hex, layerColor } from '../color.js';

/** @import { Rgb, Theme } from '../color.js' */
/** @import { GraphData, Item } from './data.js' */

/**
 * @typedef {object} View
 * @property {number} t                     the cursor
 * @property {Map<number, Shine>} shine     how strongly each node shows at the cursor, by key
 * @property {number | null} selected       a key
 * @property {number | null} hover          a key
 * @property {Set<number>} pinned           keys
 * @property {Set<number>} muted            keys
 * @property {number} names                 that are written beside dots, at most; pinned ones come on top
 * @property {string[]} layers              the SAEs on screen where there are several: each has a hue of its own
 * @property {Theme} theme
 *
 * @typedef {{now: number, share: number}} Shine   activation at the cursor; with its trail, as a share of the strongest
 */

/** @type {Record<Theme, {silent: Rgb, line: Rgb}>} */
const GREYS = {
  dark: { silent: hex('#4a5568'), line: hex('#8fa3c4') },
  light: { silent: hex('#b4bcc8'), line: hex('#5b6b85') },
};

/**
 * Gives nodes and edges their looks.
 * @param {GraphData} data
 * @param {View} view
 */
export function paint(data, view) {
  for (const item of data.items) item.hidden = item.first > view.t || view.muted.has(item.key);
  const near = neighbourhood(data, view);
  for (const item of data.items) paintNode(item, view, near);
  const lit = activationColor(1, view.theme);
  for (const tie of data.ties) {
    const ends = [tie.source.key, tie.target.key];
    tie.hidden = tie.source.hidden || tie.target.hidden;
    tie.rgb = GREYS[view.theme].line;
    tie.alpha = 0.12 + 0.26 * tie.weight + 0.45 * Math.min(tie.source.share, tie.target.share);
    if (near) tie.alpha *= 0.3;
    for (const [key, alpha] of /** @type {const} */ ([
      [view.hover, 0.6],
      [view.selected, 0.85],
    ])) {
      if (key !== null && ends.includes(key)) Object.assign(tie, { rgb: lit, alpha });
    }
  }
}

/** @param {Item} item @param {View} view @param {Set<number> | null} near */
function paintNode(item, view, near) {
  const { selected, hover, theme } = view;
  const { now, share } = item.key < 0 ? shineOfToken(item, view.t) : shineOf(item, view.shine);
  item.now = now;
  item.share = share;
  item.radius = 2.1 + 7.4 * Math.sqrt(share);
  item.rgb = share > 0.02 ? litColor(item.sae, share, view) : GREYS[theme].silent;
  item.alpha = now > 0 ? 1 : 0.45 + 0.4 * share;
  item.glow = now > 0 ? Math.sqrt(share) : share * 0.3;
  item.ring = item.key === selected ? 1 : item.key === hover ? 0.5 : view.pinned.has(item.key) ? 0.25 : 0;
  if (near && !near.has(item.key) && item.key !== hover) item.alpha *= 0.36;
}

/**
 * The color of a node that fires: the scale of activations, or where several SAEs are on screen the SAE's own hue.
 * @param {string} sae
 * @param {number} share
 * @param {View} view
 */
function litColor(sae, share, { layers, theme }) {
  const spread = share ** 0.7; // most activations are far from the strongest one: spread them over the scale
  if (layers.length < 2) return activationColor(spread, theme);
  return between(GREYS[theme].silent, layerColor(layers.indexOf(sae), theme), 0.25 + 0.75 * spread);
}

/**
 * How a node shows: as the strongest of the features that it stands for.
 * @param {Item} item
 * @param {View['shine']} shine
 * @returns {Shine}
 */
function shineOf({ key, folded }, shine) {
  const all = [key, ...folded].flatMap((one) => shine.get(one) ?? []);
  return { now: Math.max(0, ...all.map((one) => one.now)), share: Math.max(0, ...all.map((one) => one.share)) };
}

/** A token shows where it followed the cursor. @param {Item} item @param {number} t @returns {Shine} */
const shineOfToken = ({ last }, t) => ({ now: last === t ? 1 : 0, share: last === t ? 1 : 0.1 });

/**
 * The selected node and its neighbours; null when nothing on screen is selected.
 * @param {GraphData} data
 * @param {View} view
 */
function neighbourhood(data, { selected }) {
  const item = selected === null ? undefined : data.byKey.get(selected);
  return item && !item.hidden && data.items.includes(item) ? data.neighbours(item.key) : null;
}

/**
 * The nodes that get a label, most important first: the selected one, the one pointed at and those pinned, then its
 * neighbours or, with none selected, the strongest at the cursor.
 * @param {GraphData} data
 * @param {View} view
 * @returns {Item[]}
 */
export function withLabels(data, view) {
  const near = neighbourhood(data, view);
  const rank = (/** @type {Item} */ { key }) =>
    key === view.selected ? 3 : key === view.hover ? 2 : view.pinned.has(key) ? 1 : 0;
  const named = data.items
    .filter((item) => !item.hidden && (rank(item) > 0 || (near ? near.has(item.key) : item.now > 0)))
    .sort((x, y) => rank(y) - rank(x) || y.share - x.share || y.now - x.now);
  const always = named.filter((item) => rank(item) > 0).length;
  return named.slice(0, Math.max(always, view.names));
}
