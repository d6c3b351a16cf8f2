// @ts-check
// What the model expected to come after a token, and what came. Pure.

/** @import { Step } from './types.js' */

/** @typedef {{token_id: number, text: string, chance: number, came: boolean}} Chance   chance: probability, 0..1 */

/**
 * The tokens that a step thought probable next, and the one that came, which may be far from the most probable.
 * @param {Step | undefined} step
 * @param {Step} [after]   the step after it, which tells how probable the token was that came
 * @returns {{first: Chance | null, rows: Chance[]}}
 */
export function chances(step, after) {
  const came = step?.next?.token_id;
  const rows = (step?.alternatives ?? []).map(({ token_id, text, logprob }) => ({
    token_id,
    text,
    chance: Math.exp(logprob),
    came: token_id === came,
  }));
  if (step?.next && after && after.logprob !== null && !rows.some((row) => row.came)) {
    rows.push({ token_id: step.next.token_id, text: step.next.text, chance: Math.exp(after.logprob), came: true });
  }
  return { first: rows[0] ?? null, rows };
}
