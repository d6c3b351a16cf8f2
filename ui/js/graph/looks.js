// @ts-check
// How nodes and edges look at the cursor: what fires is large and bright, what fired is a faint dot, and around a
// selected node only its neighbours stay clear. Pure: it writes nothing but the looks of the items it is given.

import { activationColor, hex } from '../color.js';

/** @import { Rgb, Theme } from '../color.js' */
/** @import { Glow } from '../trail.js' */
/** @import { GraphData, Item } from './data.js' */

/**
 * @typedef {object} View
 * @property {number} t                     the cursor
 * @property {Map<number, Glow>} glow       how strongly each feature shows at the cursor
 * @property {number} strongest             the activation that counts as full
 * @property {number | null} selected       a feature
 * @property {number | null} hover          a feature
 * @property {Theme} theme
 */

const LABELS = 12; // at most

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
  const near = neighbourhood(data, view);
  for (const item of data.items) paintNode(item, view, near);
  const lit = activationColor(1, view.theme);
  for (const tie of data.ties) {
    const ends = [tie.source.feature, tie.target.feature];
    tie.hidden = tie.source.hidden || tie.target.hidden;
    tie.rgb = GREYS[view.theme].line;
    tie.alpha = 0.12 + 0.26 * tie.weight + 0.45 * Math.min(tie.source.share, tie.target.share);
    if (near) tie.alpha *= 0.3;
    for (const [feature, alpha] of /** @type {const} */ ([
      [view.hover, 0.6],
      [view.selected, 0.85],
    ])) {
      if (feature !== null && ends.includes(feature)) Object.assign(tie, { rgb: lit, alpha });
    }
  }
}

/** @param {Item} item @param {View} view @param {Set<number> | null} near */
function paintNode(item, { t, glow, strongest, selected, hover, theme }, near) {
  const { now, trail } = item.feature < 0 ? glowOfToken(item, t, strongest) : glowOf(item, glow);
  const share = Math.min(1, trail / strongest);
  item.hidden = item.first > t;
  item.now = now;
  item.share = share;
  item.radius = 2.1 + 7.4 * Math.sqrt(share);
  // Most activations are far from the strongest one: spread them over the scale.
  item.rgb = share > 0.02 ? activationColor(share ** 0.7, theme) : GREYS[theme].silent;
  item.alpha = now > 0 ? 1 : 0.45 + 0.4 * share;
  item.glow = now > 0 ? Math.sqrt(share) : share * 0.3;
  item.ring = item.feature === selected ? 1 : item.feature === hover ? 0.5 : 0;
  if (near && !near.has(item.feature) && item.feature !== hover) item.alpha *= 0.36;
}

/**
 * How a node shows: as the strongest of the features that it stands for.
 * @param {Item} item
 * @param {Map<number, Glow>} glow
 * @returns {Glow}
 */
function glowOf({ feature, folded }, glow) {
  const all = [feature, ...folded].flatMap((one) => glow.get(one) ?? []);
  return { now: Math.max(0, ...all.map((one) => one.now)), trail: Math.max(0, ...all.map((one) => one.trail)) };
}

/**
 * A token shows where it followed the cursor.
 * @param {Item} item
 * @param {number} t
 * @param {number} strongest
 * @returns {Glow}
 */
function glowOfToken({ last }, t, strongest) {
  const now = last === t ? strongest : 0;
  return { now, trail: now || strongest * 0.1 };
}

/**
 * The selected node and its neighbours; null when nothing on screen is selected.
 * @param {GraphData} data
 * @param {View} view
 */
function neighbourhood(data, { selected, t }) {
  const item = data.items.find((one) => one.feature === selected);
  return item && item.first <= t ? data.neighbours(item.feature) : null;
}

/**
 * The nodes that get a label, most important first: the selected one and the one pointed at, then its neighbours or,
 * with none selected, the strongest at the cursor.
 * @param {GraphData} data
 * @param {View} view
 * @returns {Item[]}
 */
export function withLabels(data, view) {
  const near = neighbourhood(data, view);
  const rank = (/** @type {Item} */ item) => (item.feature === view.selected ? 2 : item.feature === view.hover ? 1 : 0);
  return data.items
    .filter((item) => !item.hidden && (rank(item) > 0 || (near ? near.has(item.feature) : item.now > 0)))
    .sort((x, y) => rank(y) - rank(x) || y.now - x.now || y.share - x.share)
    .slice(0, LABELS);
}
