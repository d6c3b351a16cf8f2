// @ts-check
// Which features fired together with one feature, counted exactly from the steps on screen. Pure.

import { countUpTo, firingsUpTo, tokensUpTo } from './firings.js';

/** @import { LabelState, Named, Step } from './types.js' */

/**
 * @typedef {object} Partner
 * @property {number} feature
 * @property {string | null} label
 * @property {LabelState} label_state
 * @property {number} count   positions where both fired
 * @property {number} lift    count × positions ÷ (count of one × count of other); 1 = as often as chance predicts
 */

/** @typedef {{of: string, places: number[], counts: Map<number, number>}} Tally   how often others fired at `places` */
/** @type {WeakMap<Step[], Tally>} the one asked for last: a cursor that moves a little changes it a little */
const tallies = new WeakMap();

/**
 * At how many of these places, at which a feature fired, each other feature of the SAE fired too.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @param {number[]} places
 */
function tallied(steps, sae, feature, places) {
  const of = `${feature} ${sae}`;
  let tally = tallies.get(steps);
  if (tally?.of !== of || 2 * places.length < tally.places.length) tally = { of, places: [], counts: new Map() };
  const { counts, places: before } = tally;
  tallies.set(steps, { of, places, counts });
  for (const place of places.slice(before.length)) add(place, 1);
  for (const place of before.slice(places.length)) add(place, -1);
  return counts;

  /** @param {number} place @param {number} by */
  function add(place, by) {
    for (const { feature: other } of steps[place].saes[sae].features) {
      if (other !== feature) counts.set(other, (counts.get(other) ?? 0) + by);
    }
  }
}

/**
 * The features that fired up to `t` at a position where `feature` fired too, most often together first.
 * @param {Step[]} steps      by position
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 * @param {number} [often]    those that fired together with it less often are left out
 * @param {number} [most]     how many are wanted
 * @returns {{fired: number, positions: number, partners: Partner[]}}
 */
export function firedTogether(steps, sae, feature, t, often = 1, most = Infinity) {
  const { places } = firingsUpTo(steps, sae, feature, t);
  const positions = tokensUpTo(steps, t);
  const found = [...tallied(steps, sae, feature, places)].filter(([, count]) => count >= often);
  // Only those that can be among the wanted ones are ranked: of thousands that fired, a few are shown.
  const enough = found.length > most ? found.map(([, count]) => count).sort((x, y) => y - x)[most - 1] : 0;
  const partners = found
    .filter(([, count]) => count >= enough)
    .map(([other, count]) => {
      const lift = (count * positions) / (places.length * countUpTo(steps, sae, other, t));
      return { feature: other, count, lift };
    })
    .sort((x, y) => y.count - x.count || y.lift - x.lift || x.feature - y.feature)
    .slice(0, most)
    .map((partner) => ({ ...partner, ...nameAt(steps, sae, partner.feature, t) }));
  return { fired: places.length, positions, partners };
}

/** What a feature that fired up to `t` is called. @param {Step[]} steps @param {string} sae @param {number} feature @param {number} t */
function nameAt(steps, sae, feature, t) {
  const [place] = firingsUpTo(steps, sae, feature, t).places;
  const named = /** @type {Named} */ (steps[place].saes[sae].features.find((active) => active.feature === feature));
  return { label: named.label, label_state: named.label_state };
}
