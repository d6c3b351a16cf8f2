// @ts-check
// The inspector's part about the feature itself, as its publisher or this program measured it: the tokens it promotes and
// suppresses, the texts where it fires most, and plain facts. Each says where it is from.

import { el } from '../dom.js';
import { aroundStrongest, detail, originName } from '../label-words.js';
import { number, signed, visible } from '../words.js';
import { shaded } from './feature-session.js';

/** @import { Context, FeatureRecord, Weighed } from '../types.js' */

const CONTEXTS = 6;
const BEFORE = 18; // characters before the strongest token of a context
const LONGEST = 48; // tokens of a context that are drawn; its line ends before

/** @param {FeatureRecord} record */
export function detailsOf(record) {
  const { origin = '', promoted = [], suppressed = [], promoted_origin = '', contexts = [] } = record.details ?? {};
  const shown = contexts.filter((context) => context.tokens.length).slice(0, CONTEXTS);
  const strongest = Math.max(...shown.flatMap((context) => context.activations), 0);
  return [
    ...chips('Promotes', promoted, from(promoted_origin), 'Tokens that the feature makes likelier'),
    ...chips('Suppresses', suppressed, from(promoted_origin), 'Tokens that the feature makes less likely'),
    ...(shown.length
      ? [
          el('h3', {}, 'Where it fires most', el('small', {}, from(origin))),
          el('ul', { className: 'contexts' }, ...shown.map((context) => contextRow(context, strongest))),
        ]
      : []),
    ...facts(record),
  ];
}

/** @param {string} origin */
const from = (origin) => (origin === 'automatic' ? 'computed here' : origin && `from ${originName(origin)}`);

/**
 * @param {string} title
 * @param {Weighed[]} tokens
 * @param {string} source
 * @param {string} what
 */
function chips(title, tokens, source, what) {
  if (!tokens.length) return [];
  return [
    el('h3', { title: what }, title, el('small', {}, source)),
    el(
      'ul',
      { className: 'chips' },
      ...tokens.map(([token, weight]) => el('li', { title: `${signed(weight)} to its logit` }, visible(token))),
    ),
  ];
}

/** @param {Context} context @param {number} full   the activation that counts as full */
function contextRow({ tokens, activations }, full) {
  const { from, strongest } = aroundStrongest(tokens, activations, BEFORE);
  const words = tokens
    .slice(from, from + LONGEST)
    .map((token, i) => shaded(token, full ? Math.max(0, activations[from + i] ?? 0) / full : 0));
  return el(
    'li',
    { className: 'snippet', title: visible(tokens.join('')).slice(0, 600) },
    el('span', {}, ...(from ? ['…'] : []), ...words),
    el('small', {}, number(strongest)),
  );
}

/** All else that is known of the label and the feature, whatever its source gave. @param {FeatureRecord} record */
function facts({ label, details, statistics, sae, hook }) {
  const title =
    !label || label.origin === 'you' ? 'feature' : label.origin === 'automatic' ? 'automatic name' : 'label';
  const max = details?.max_activation ?? statistics.max_activation ?? null;
  /** @type {[string, string][]} */
  const listed = Object.entries(label?.details ?? {}).map(([name, value]) => [name, detail(value)]);
  if (max !== null) listed.push(['strongest known', number(max)]);
  listed.push(['SAE', sae], ['hook point', hook || 'unknown']);
  return [
    el('h3', {}, `About the ${title}`),
    el('dl', { className: 'facts' }, ...listed.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
  ];
}
