// @ts-check
// How labels are spoken of: who says so, how sure it is, how many are here. Pure.

import { counted, moment, number, size } from './words.js';

/** @import { Label, LabelOffer, LabelSet, LabelState } from './types.js' */

export const NO_DESCRIPTION = 'named automatically, not a description';

/** @type {Record<string, string>} */
const ORIGINS = { neuronpedia: 'Neuronpedia', you: 'you', automatic: 'automatic' };

/** Who says so, as people write it. @param {string} origin */
export const originName = (origin) => ORIGINS[origin] ?? origin;

/**
 * Whether a label was only computed here: it names the feature, and describes nothing.
 * @param {string | null} label
 * @param {LabelState} state
 */
export const isAutomatic = (label, state) => label !== null && state !== 'labelled';

/**
 * The look of a feature's name.
 * @param {string | null} label
 * @param {LabelState} state
 */
export const nameClass = (label, state) =>
  label === null ? 'unlabelled' : isAutomatic(label, state) ? 'automatic' : '';

/**
 * The beginning of a text, cut between characters.
 * @param {string} text
 * @param {number} longest
 */
export function shortened(text, longest) {
  if (text.length <= longest) return text;
  const cut = text.slice(0, longest - 1);
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}

/** What a label is worth: how it was found, who wrote it, its score. @param {Label} label */
export function worthOf({ origin, method, explainer, score, score_name }) {
  if (origin === 'you') return ['your own'];
  if (origin === 'automatic') return [`automatic: ${method}`];
  return [
    method,
    explainer && `written by ${explainer}`,
    score === null ? 'no score' : `${score_name || 'score'} ${number(score)}`,
  ].filter(Boolean);
}

/** @param {unknown} value  of the details of a label */
export const detail = (value) =>
  typeof value === 'number' ? (Number.isInteger(value) ? value.toLocaleString('en') : number(value)) : String(value);

/** How many labels of an SAE are here, in a sentence. @param {LabelSet} set */
export function setSentence({ set, publisher, features, labelled, complete, fetched_at }) {
  const of = features ? ` of ${features.toLocaleString('en')}` : '';
  const named = `${labelled.toLocaleString('en')}${of}`;
  if (set === null) {
    const none = 'Nobody publishes labels of this SAE; automatic ones are made.';
    return labelled ? `${counted(labelled, 'feature')}${of} ${labelled === 1 ? 'has' : 'have'} a label here.` : none;
  }
  if (complete) {
    const when = fetched_at && moment(fetched_at);
    return `${named} features have a label here${when ? `, fetched ${when}` : ''}.`;
  }
  const source = publisher ? `${publisher}’s labels of this SAE` : 'The labels of this SAE';
  return `${source} are not all here: ${labelled ? `${named} features are named so far` : 'none so far'}.`;
}

/** What else is here. @param {LabelSet} set */
export function restOfSet({ own, automatic }) {
  return [own && `${counted(own, 'label')} of your own`, automatic && `${counted(automatic, 'automatic name')}`]
    .filter(Boolean)
    .join(', ');
}

/** What getting all labels costs. @param {LabelOffer} offer */
export function offerSentence({ files, new_files, new_bytes }) {
  if (!files) return 'Nothing is published to download.';
  if (!new_files) return 'Everything is up to date.';
  const some = new_files < files ? `${new_files} of ${counted(files, 'file')}` : counted(files, 'file');
  return `${some}, ${size(new_bytes)} to download.`;
}

/**
 * The part of a context that is worth a line: from shortly before its strongest token on.
 * @param {number[]} activations
 * @param {string[]} tokens
 * @param {number} room   characters before the strongest token
 */
export function aroundStrongest(tokens, activations, room) {
  const strongest = Math.max(...activations, 0);
  const at = Math.max(0, activations.indexOf(strongest));
  let from = at;
  for (let used = 0; from > 0 && used + tokens[from - 1].length <= room; from--) used += tokens[from - 1].length;
  return { from, at, strongest };
}
