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

/**
 * What the logit is made of, a line each; they add up to it. Nothing where no straight line leads to the logits.
 * @param {WhySae} sae
 * @returns {{name: string, direct: number | null, gradient: number | null, about: string}[]}
 */
export function sums({ direct, gradient }) {
  const of = (/** @type {string} */ part) => ({
    direct: direct ? /** @type {any} */ (direct)[part] : null,
    gradient: /** @type {any} */ (gradient)[part] ?? null,
  });
  return [
    { name: 'all active features', ...of('features'), about: 'the sum of the column, those not listed too' },
    { name: 'SAE’s constant part', ...of('constant'), about: 'its bias, which stands for no feature' },
    { name: 'not explained', ...of('unexplained'), about: 'what the SAE does not reproduce of the activity here' },
    { name: 'everything else', ...of('rest'), about: 'what other parts of the model write later' },
    { name: 'the model’s own bias', ...of('bias'), about: 'of the final normalisation and the unembedding' },
  ].filter((line) => line.direct !== null || line.gradient !== null);
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
