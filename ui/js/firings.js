// @ts-check
// Where each feature fired, as an index over the steps of a session that grows with them: what is asked at every move of
// the cursor must not go through all tokens again. Pure, but for the index it keeps.

/** @import { Step } from './types.js' */

/** @typedef {{places: number[], activations: number[]}} Firings   positions at which a feature fired, and how strongly */

/**
 * @typedef {object} Index
 * @property {number} to                  steps that are in it
 * @property {number[]} tokens            how many there are up to each position
 * @property {Map<string, {features: Map<number, Firings>, strongest: number[]}>} saes
 *   of each SAE the firings of its features, and the strongest activation of any up to each position
 */
/** @type {WeakMap<Step[], Index>} by the list of steps */
const indices = new WeakMap();

/**
 * The index of a session's steps, brought up to date.
 * @param {Step[]} steps   by position
 */
function indexOf(steps) {
  /** @type {Index} */
  const index = indices.get(steps) ?? { to: 0, tokens: [], saes: new Map() };
  indices.set(steps, index);
  for (; steps[index.to]; index.to++) {
    const { is_bos, saes } = steps[index.to];
    index.tokens.push((index.tokens.at(-1) ?? 0) + (is_bos ? 0 : 1));
    for (const sae of Object.keys(saes)) {
      if (!index.saes.has(sae)) index.saes.set(sae, { features: new Map(), strongest: Array(index.to).fill(0) });
    }
    for (const [sae, { features, strongest }] of index.saes) {
      const active = is_bos ? [] : (saes[sae]?.features ?? []);
      strongest.push(Math.max(strongest.at(-1) ?? 0, active[0]?.activation ?? 0)); // sorted: the strongest comes first
      for (const { feature, activation } of active) {
        const known = features.get(feature);
        if (known) {
          known.places.push(index.to);
          known.activations.push(activation);
        } else features.set(feature, { places: [index.to], activations: [activation] });
      }
    }
  }
  return index;
}

/** @param {Step[]} steps @param {string} sae @param {number} feature */
const firingsOf = (steps, sae, feature) => indexOf(steps).saes.get(sae)?.features.get(feature) ?? NEVER;
/** @type {Firings} */
const NEVER = { places: [], activations: [] };

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
 * The strongest activation of any feature of an SAE up to `t`.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} t
 */
export function highestUpTo(steps, sae, t) {
  const { strongest } = indexOf(steps).saes.get(sae) ?? { strongest: [] };
  return strongest[Math.min(t, strongest.length - 1)] ?? 0;
}

/**
 * Where a feature fired up to `t`, and how strongly.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 * @returns {Firings}
 */
export function firingsUpTo(steps, sae, feature, t) {
  const { places, activations } = firingsOf(steps, sae, feature);
  const count = upTo(places, t);
  return { places: places.slice(0, count), activations: activations.slice(0, count) };
}

/**
 * Activation of a feature at each of the steps; 0 where it did not fire.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @returns {number[]}
 */
export function activationsOf(steps, sae, feature) {
  const { places, activations } = firingsOf(steps, sae, feature);
  const values = Array(steps.length).fill(0);
  places.forEach((place, i) => (values[place] = activations[i]));
  return values;
}

/**
 * At how many tokens up to `t` a feature fired.
 * @param {Step[]} steps
 * @param {string} sae
 * @param {number} feature
 * @param {number} t
 */
export const countUpTo = (steps, sae, feature, t) => upTo(firingsOf(steps, sae, feature).places, t);

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
