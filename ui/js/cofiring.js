// @ts-check
// Which features fired together with one feature, counted exactly from the steps on screen. Pure.

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
 * The features that fired at a position where `feature` fired too, most often together first.
 * @param {Step[]} steps      without BOS
 * @param {string} sae
 * @param {number} feature
 * @returns {{fired: number, positions: number, partners: Partner[]}}
 */
export function firedTogether(steps, sae, feature) {
  /** @type {Map<number, {label: string | null, label_state: LabelState, count: number, together: number}>} */
  const seen = new Map();
  let fired = 0;
  for (const step of steps) {
    const active = step.saes[sae]?.features ?? [];
    const here = active.some((one) => one.feature === feature);
    if (here) fired++;
    for (const one of active) {
      const { label, label_state } = one;
      const entry = seen.get(one.feature) ?? { label, label_state, count: 0, together: 0 };
      entry.count++;
      if (here) entry.together++;
      seen.set(one.feature, entry);
    }
  }
  const partners = [...seen]
    .filter(([other, entry]) => other !== feature && entry.together > 0)
    .map(([other, entry]) => ({
      feature: other,
      label: entry.label,
      label_state: entry.label_state,
      count: entry.together,
      lift: (entry.together * steps.length) / (fired * entry.count),
    }))
    .sort((x, y) => y.count - x.count || y.lift - x.lift || x.feature - y.feature);
  return { fired, positions: steps.length, partners };
}
