// @ts-check
// Which of the features that fire at the cursor are listed, and in what order. Pure.

/** @import { ActiveFeature } from './types.js' */

/**
 * @typedef {object} Wish
 * @property {number} above                             activations below are left out
 * @property {string} filter                            words that the name must hold, or the feature's number
 * @property {string} sortBy                            "activation", or "effect": on the logit of the next token
 * @property {((feature: number) => boolean) | null} always   tells those that nearly always fire: left out; null = kept
 * @property {(feature: number) => boolean} muted       left out too
 *
 * @typedef {{rows: ActiveFeature[], muted: number, always: number}} Listing   rows, and how many each wish left out
 */

/**
 * The features that are listed.
 * @param {ActiveFeature[]} active   strongest first
 * @param {Wish} wish
 * @returns {Listing}
 */
export function listed(active, { above, filter, sortBy, always, muted }) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (/** @type {ActiveFeature} */ { feature, label }) => {
    const name = `${(label ?? '').toLowerCase()} feature ${feature}`;
    return words.every((word) => name.includes(word));
  };
  const counted = { muted: 0, always: 0 };
  const rows = active.filter((one) => {
    if (one.activation < above || !holds(one)) return false;
    if (muted(one.feature)) counted.muted++;
    else if (always?.(one.feature)) counted.always++;
    else return true;
    return false;
  });
  if (sortBy === 'effect') rows.sort((x, y) => (y.effect ?? -Infinity) - (x.effect ?? -Infinity));
  return { rows, ...counted };
}
