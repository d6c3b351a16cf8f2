// @ts-check
// What the tokens can be colored by: the selected feature, the share that the SAE leaves unexplained, and every analysis
// that is a number. Pure.

import { activationsOf } from './session.js';

/** @import { AnalyserInfo, Step } from './types.js' */

const POOR = 0.5; // unexplained share: colored as strongly as it gets
const ANALYSIS = 'analysis ';

/** How a choice of coloring names an analysis. @param {string} name */
export const byAnalysis = (name) => ANALYSIS + name;

/** The analysis that a choice of coloring names, or nothing. @param {string} colorBy */
export const analysisOf = (colorBy) => (colorBy.startsWith(ANALYSIS) ? colorBy.slice(ANALYSIS.length) : null);

/**
 * Adds the names of the analyses that are numbers at any of these steps.
 * @param {Set<string>} names
 * @param {Step[]} steps
 */
export function noteNumbers(names, steps) {
  for (const step of steps) {
    for (const [name, value] of Object.entries(step?.analyses ?? {})) if (typeof value === 'number') names.add(name);
  }
}

/**
 * How strongly each token is colored, 0..1.
 * @param {Step[]} steps
 * @param {object} choice
 * @param {string} choice.colorBy
 * @param {string} choice.sae
 * @param {{sae: string, feature: number} | null} choice.feature
 * @param {Record<string, AnalyserInfo>} analysers
 * @returns {number[]}
 */
export function sharesOf(steps, { colorBy, sae, feature }, analysers) {
  const name = analysisOf(colorBy);
  if (name !== null) {
    const values = steps.map((step) => Number(step?.analyses?.[name]) || 0); // of a text there is no share
    return shares(values, analysers[name]?.high ?? Math.max(...values));
  }
  if (colorBy === 'unexplained') return steps.map((step) => Math.min(1, (step?.saes[sae]?.unexplained ?? 0) / POOR));
  if (!feature) return steps.map(() => 0);
  const activations = activationsOf(steps, feature.sae, feature.feature);
  return shares(activations, Math.max(...activations));
}

/** @param {number[]} values @param {number} full */
const shares = (values, full) => values.map((value) => (full > 0 ? Math.min(1, Math.max(0, value / full)) : 0));
