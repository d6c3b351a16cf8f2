// @ts-check
// The inspector's parts about labels: the worth of the one that is shown, what is still to come, all that are known.

import { el } from '../dom.js';
import { detail, nameClass, originName, worthOf } from '../label-words.js';
import { counted, percent } from '../words.js';

/** @import { FeatureRecord, Label, LabelSet } from '../types.js' */

/** @type {Record<string, string>} what an automatic label is made of */
const MADE_OF = {
  'promoted tokens': 'these are the tokens that the feature makes likelier, computed from its weights.',
  'tokens it fires on': 'these are the tokens at which it fired in your sessions.',
};

/**
 * The shown label's worth in one line, and what it is where it is no description.
 * @param {FeatureRecord} record
 */
export function worthOfLabel(record) {
  const { label } = record;
  const density = record.details?.density ?? record.statistics.density ?? null;
  const facts = label ? [...(isOfOthers(label) ? [`says ${originName(label.origin)}`] : []), ...worthOf(label)] : [];
  if (density !== null) facts.push(`fires at ${percent(density)} of tokens`);
  return [
    el('p', { className: 'worth' }, ...facts.map((text) => el('span', {}, text))),
    ...(label?.origin === 'automatic' ? noDescription(label) : []),
  ];
}

/** @param {Label} label */
const isOfOthers = ({ origin }) => origin !== 'you' && origin !== 'automatic';

/** What an automatic label is, and its first measure; the others stand with the facts. @param {Label} label */
const noDescription = (label) => {
  const [measure = ''] = measures(label);
  const made = `Not a description: ${MADE_OF[label.method] ?? 'computed by this program.'}`;
  return [el('p', { className: 'aside' }, made, measure && ` ${measure[0].toUpperCase()}${measure.slice(1)}.`)];
};

/** @param {Label} label */
const measures = ({ details }) => Object.entries(details).map(([name, value]) => `${name}: ${detail(value)}`);

/** All labels of the feature, where there are several. @param {FeatureRecord} record */
export function labelsOf({ labels }) {
  if (labels.length < 2) return [];
  return [el('h3', {}, 'All labels', el('small', {}, counted(labels.length, 'label'))), list(labels)];
}

/** @param {Label[]} labels */
const list = (labels) =>
  el(
    'ol',
    { className: 'labels' },
    ...labels.map((label) => {
      const automatic = label.origin === 'automatic';
      const worth = isOfOthers(label) ? [originName(label.origin), ...worthOf(label)] : worthOf(label);
      if (automatic) worth.push(...measures(label).slice(0, 1));
      return el(
        'li',
        {},
        el('span', { className: nameClass(label.text, automatic ? 'unlabelled' : 'labelled') }, label.text),
        el('small', {}, worth.join(' · ')),
      );
    }),
  );

/**
 * What is still to come, or why nothing does.
 * @param {FeatureRecord} record
 * @param {LabelSet | undefined} set
 * @param {() => Promise<void>} retry
 */
export function standingOf({ label_state, details_state, publisher }, set, retry) {
  const states = [label_state, details_state];
  if (states.includes('pending')) {
    return [el('p', { className: 'standing' }, el('i', { className: 'spinner' }), `Asking ${publisher} …`)];
  }
  if (!states.includes('unavailable')) return [];
  const lacking = `${label_state === 'labelled' ? 'what else' : 'what'} ${publisher} tells of this feature is not here`;
  const why = set?.offline
    ? `The network is switched off: ${lacking}.`
    : set?.fetch === false
      ? `config.toml says not to ask: ${lacking}.`
      : (set?.blocked ?? `${publisher} did not answer: ${lacking}.`);
  const again = el(
    'button',
    {
      type: 'button',
      id: 'retry-labels',
      className: 'small',
      onclick: () => {
        if (again.getAttribute('aria-disabled')) return;
        again.setAttribute('aria-disabled', 'true'); // not disabled: it would lose the focus
        void retry();
      },
    },
    'Try again',
  );
  return [el('p', { className: 'standing' }, el('span', {}, why), set?.offline || set?.fetch === false ? '' : again)];
}
