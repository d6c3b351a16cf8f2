// @ts-check
// What is said about why a token came, as rows to show. Pure.

/** @import { Why, WhyFeature, WhySae, Without } from './types.js' */

/** @typedef {"ablation" | "gradient" | "direct"} By */

/**
 * The features of one SAE, those that did most for the token first, those that did most against it last. By ablation:
 * only those that were removed one at a time.
 * @param {WhySae} sae
 * @param {By} by
 * @returns {WhyFeature[]}
 */
export function ranked({ features }, by) {
  const worth = (/** @type {WhyFeature} */ one) => (by === 'ablation' ? one.ablation?.logit : one[by]) ?? null;
  return features
    .filter((one) => worth(one) !== null)
    .sort((x, y) => /** @type {number} */ (worth(y)) - /** @type {number} */ (worth(x)));
}

/**
 * How large the largest number of a column is, for its bars.
 * @param {WhyFeature[]} features
 * @param {(one: WhyFeature) => number | null | undefined} of
 */
export const largest = (features, of) => features.reduce((most, one) => Math.max(most, Math.abs(of(one) ?? 0)), 1e-9);

/** @type {[part: string, name: string, about: string][]} */
const PARTS = [
  ['features', 'all active features', 'the sum of the column, those not listed too'],
  ['constant', 'SAE’s constant part', 'its bias, which stands for no feature'],
  ['unexplained', 'not explained', 'what the SAE does not reproduce of the activity here'],
  ['rest', 'everything else', 'what other parts of the model write later'],
  ['bias', 'the model’s own bias', 'of the final normalisation and the unembedding'],
];

/**
 * What the logit is made of, a line each; they add up to it. `without`: how the token fares when that part is removed.
 * Lines of which nothing is known are left out.
 * @param {WhySae} sae
 * @returns {{name: string, about: string, direct: number | null, gradient: number | null, without: Without | null}[]}
 */
export function sums({ direct, gradient, ablation }) {
  const of = (/** @type {any} */ measured, /** @type {string} */ part) => measured?.[part] ?? null;
  return PARTS.map(([part, name, about]) => ({
    ...{ name, about },
    direct: of(direct, part),
    gradient: of(gradient, part),
    without: of(ablation, part),
  })).filter((line) => line.direct !== null || line.gradient !== null);
}

/**
 * How a probability changes when something is taken out.
 * @param {Without | null | undefined} without
 * @param {number} logprob   of the token, with everything
 * @returns {{from: number, to: number} | null}
 */
export function change(without, logprob) {
  if (!without) return null;
  const from = Math.exp(logprob);
  return { from, to: Math.min(1, Math.max(0, from - without.probability)) };
}
