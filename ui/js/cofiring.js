// @ts-check
// Which features fired together with one feature, counted exactly from the steps on screen. Pure.

import { countUpTo, placesUpTo, tokensUpTo } from './firings.js';

/** @import { LabelState, Step } from './types.js' */

/**
 * @typedef {object} Partner
 * @property {number} feature
 * @property {string | null} label
 * @property {LabelState} label_state
 * @property {number} count   positions where both fired
 * @property {number} lift    count × positions ÷ (count of one × count of other); 1 = as often as chance predicts
 */

/**
 * The features that fired up to `t` at a position where `feature` fired too, most often together first.
 * @param {Step[]} steps      by position
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 * @returns {{fired: number, positions: number, partners: Partner[]}}
 */
export function firedTogether(steps, sae, feature, t) {
  const places = placesUpTo(steps, sae, feature, t);
  const positions = tokensUpTo(steps, t);
  /** @type {Map<number, Partner>} */
  const partners = new Map();
  for (const place of places) {
    for (const { feature: other, label, label_state } of steps[place].saes[sae].features) {
      const known = partners.get(other);
      if (known) known.count++;
      else if (other !== feature) partners.set(other, { feature: other, label, label_state, count: 1, lift: 0 });
    }
  }
  for (const partner of partners.values()) {
    const alone = countUpTo(steps, sae, partner.feature, t);
    partner.lift = (partner.count * positions) / (places.length * alone);
  }
  const ranked = [...partners.values()].sort((x, y) => y.count - x.count || y.lift - x.lift || x.feature - y.feature);
  return { fired: places.length, positions, partners: ranked };
}
