// @ts-check
// How tokens and features stand in cards, lists and tables: the same everywhere.

import { el } from './dom.js';
import { nameClass } from './label-words.js';
import { featureName, percent, quoted, visible } from './words.js';

/** @import { Chance } from './expected.js' */
/** @import { Named } from './types.js' */

/** A token's text, white space visible. @param {string} text */
export const tokenText = (text) => el('q', {}, visible(text));

/**
 * The head of a table's row about a feature: a button that says which feature it is in its data.
 * @param {Omit<Named, 'label_origin'>} named
 * @param {string} sae
 */
export const featureHead = ({ feature, label, label_state }, sae) =>
  el(
    'th',
    { scope: 'row' },
    el(
      'button',
      {
        type: 'button',
        className: nameClass(label, label_state),
        'data-feature': feature,
        'data-sae': sae,
        title: `feature ${feature}`,
      },
      featureName(feature, label, label_state),
    ),
  );

/**
 * A token that could have come, and its probability.
 * @param {Chance} chance
 * @param {boolean} [asked]   whether it can be asked why
 */
export function chanceRow({ token_id, text, chance, came }, asked = false) {
  const name = asked
    ? el('button', { type: 'button', 'data-token': token_id, title: `Why ${quoted(text)}?` }, tokenText(text))
    : tokenText(text);
  return el(
    'li',
    { className: came ? 'came' : '', title: came ? 'This one came' : undefined },
    name,
    el('span', { className: 'bar' }, el('i', { style: `width:${(100 * chance).toFixed(1)}%` })),
    el('small', {}, percent(chance), came ? el('span', { className: 'visually-hidden' }, ', this one came') : ''),
  );
}
