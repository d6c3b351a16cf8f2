// @ts-check
// Features that the user pinned (always named, with a row over the tokens) or muted (not drawn, not listed), of any SAE.

import { recall, remember } from './remember.js';

/** @typedef {"pinned" | "muted"} Mark */
/** @typedef {{sae: string, feature: number}} FeatureId */

const MOST = 200; // of each: the oldest is forgotten

/** One of two: a feature is pinned or muted, never both. */
export class Marks {
  /** @type {Record<Mark, FeatureId[]>} oldest first */ #of = { pinned: [], muted: [] };

  constructor() {
    for (const mark of /** @type {Mark[]} */ (['pinned', 'muted'])) this.#of[mark] = read(recall(mark, []));
  }

  /** The marked features of some SAEs, in the order in which they were marked. @param {Mark} mark @param {string[]} saes */
  of(mark, saes) {
    return this.#of[mark].filter(({ sae }) => saes.includes(sae));
  }

  /** @param {Mark} mark @param {string} sae @param {number} feature */
  has(mark, sae, feature) {
    return this.#of[mark].some((one) => one.sae === sae && one.feature === feature);
  }

  /** Marks a feature, or no longer. @param {Mark} mark @param {string} sae @param {number} feature */
  toggle(mark, sae, feature) {
    const marked = this.has(mark, sae, feature);
    this.#drop('pinned', sae, feature);
    this.#drop('muted', sae, feature);
    if (!marked) this.#put(mark, [...this.#of[mark], { sae, feature }].slice(-MOST));
  }

  /** Takes a mark off all features of some SAEs. @param {Mark} mark @param {string[]} saes */
  clear(mark, saes) {
    this.#put(
      mark,
      this.#of[mark].filter(({ sae }) => !saes.includes(sae)),
    );
  }

  /** @param {Mark} mark @param {string} sae @param {number} feature */
  #drop(mark, sae, feature) {
    if (!this.has(mark, sae, feature)) return;
    this.#put(
      mark,
      this.#of[mark].filter((one) => one.sae !== sae || one.feature !== feature),
    );
  }

  /** @param {Mark} mark @param {FeatureId[]} marked */
  #put(mark, marked) {
    this.#of[mark] = marked;
    remember(
      mark,
      marked.map(({ sae, feature }) => [sae, feature]),
    );
  }
}

/** What was remembered, as far as it makes sense. @param {any} rows @returns {FeatureId[]} */
const read = (rows) =>
  (Array.isArray(rows) ? rows : [])
    .filter((row) => Array.isArray(row) && typeof row[0] === 'string' && Number.isInteger(row[1]))
    .map(([sae, feature]) => ({ sae, feature }));
