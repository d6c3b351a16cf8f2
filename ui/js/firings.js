// @ts-check
// Where each feature fired, as an index over the steps of a session that grows with them: what is asked at every move of
// the cursor must not go through all tokens again. Pure, but for the index it keeps.

/** @import { Step } from './types.js' */

/** @typedef {Map<number, number[]>} Places   positions at which each feature of one SAE fired, in order */

/** @typedef {{to: number, saes: Map<string, Places>, tokens: number[]}} Index   tokens: how many up to each position */
/** @type {WeakMap<Step[], Index>} by the list of steps */
const indices = new WeakMap();

/**
 * The index of a session's steps, brought up to date.
 * @param {Step[]} steps   by position
 */
function indexOf(steps) {
  /** @type {Index} */
  const index = indices.get(steps) ?? { to: 0, saes: new Map(), tokens: [] };
  indices.set(steps, index);
  for (; steps[index.to]; index.to++) {
    const { is_bos, saes } = steps[index.to];
    index.tokens.push((index.tokens.at(-1) ?? 0) + (is_bos ? 0 : 1));
    if (is_bos) continue;
    for (const [sae, { features }] of Object.entries(saes)) {
      const places = index.saes.get(sae) ?? new Map();
      index.saes.set(sae, places);
      for (const { feature } of features) {
        const known = places.get(feature);
        if (known) known.push(index.to);
        else places.set(feature, [index.to]);
      }
    }
  }
  return index;
}

/**
 * How many tokens there are up to and including `t`, BOS left out.
 * @param {Step[]} steps
 * @param {number} t
 */
export function tokensUpTo(steps, t) {
  const { tokens } = indexOf(steps);
  return tokens[Math.min(t, tokens.length - 1)] ?? 0;
}

/**
 * The positions up to `t` at which a feature fired.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 * @returns {number[]}
 */
export function placesUpTo(steps, sae, feature, t) {
  const places = indexOf(steps).saes.get(sae)?.get(feature) ?? [];
  return places.slice(0, upTo(places, t));
}

/**
 * At how many tokens up to `t` a feature fired.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 */
export const countUpTo = (steps, sae, feature, t) => upTo(indexOf(steps).saes.get(sae)?.get(feature) ?? [], t);

const ALWAYS = 0.8; // of the tokens
const ENOUGH = 10; // tokens, before anything can be called "always"

/**
 * Whether a feature has fired at nearly every token so far: it says little of any of them.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 */
export function isAlwaysOn(steps, sae, feature, t) {
  const tokens = tokensUpTo(steps, t);
  return tokens >= ENOUGH && countUpTo(steps, sae, feature, t) >= ALWAYS * tokens;
}

/** How many of these ascending positions are at most `t`. @param {number[]} places @param {number} t */
function upTo(places, t) {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle] <= t) low = middle + 1;
    else high = middle;
  }
  return low;
}
