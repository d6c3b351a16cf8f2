// @ts-check
// How strongly each feature still shows at the cursor: its activation there, plus a trail that fades over tokens.
// Over tokens, not seconds: the same cursor always gives the same picture. Pure.

/** @import { Step } from './types.js' */

const FADE = 0.72; // what is left of an activation one token later
const LENGTH = 14; // tokens; 0.72 ** 14 = 1 %

/**
 * @typedef {object} Glow
 * @property {number} now     activation at the cursor, 0 when the feature is silent there
 * @property {number} trail   the strongest faded activation, at least `now`
 */

/**
 * @param {Step[]} steps      by position
 * @param {string} sae
 * @param {number} t
 * @returns {Map<number, Glow>}
 */
export function glowAt(steps, sae, t) {
  /** @type {Map<number, Glow>} */
  const glow = new Map();
  for (let back = 0; back < LENGTH && t - back >= 0; back++) {
    const faded = FADE ** back;
    for (const active of steps[t - back]?.saes[sae]?.features ?? []) {
      const entry = glow.get(active.feature) ?? { now: 0, trail: 0 };
      if (back === 0) entry.now = active.activation;
      entry.trail = Math.max(entry.trail, active.activation * faded);
      glow.set(active.feature, entry);
    }
  }
  return glow;
}
