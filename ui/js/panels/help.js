// @ts-check
// What one sees, and the keys of the commands.

import { $, el, fillDialog } from '../dom.js';

/** @import { Command } from '../commands.js' */

const WHAT = [
  ['Token', 'A piece of text that the model reads or writes: a word, part of a word, a comma.'],
  [
    'Feature',
    'A direction inside the model that a sparse autoencoder (SAE) has found. It fires at some tokens. ' +
      'Its label says what it seems to stand for, the score beside the label how sure that is.',
  ],
  [
    'Position',
    'All that is shown for a token is what the model computed at that token: what it has read so far and what it is ' +
      'about to say. The features behind a new token are those of the token before it.',
  ],
  [
    'Edge',
    '“Association”: two features fired at the same tokens more often than chance, by a test that expects at most one in ' +
      'twenty of the edges to be chance. “Co-activation”: the raw number of times, most of it chance. “Similarity”: the SAE ' +
      'writes both in a similar direction. “Attribution”: a feature raised or lowered the next token.',
  ],
  [
    'Unexplained share',
    'How much of the model’s activity at a token the SAE does not reproduce. Where it is high, the features tell ' +
      'little of the story.',
  ],
];

/** @param {() => Command[]} commands */
export function helpDialog(commands) {
  /** @type {HTMLDialogElement} */
  const dialog = $('help-dialog');
  const keys = el('dl', { className: 'keys' });
  fillDialog(
    dialog,
    'What you see',
    el('dl', { className: 'what' }, ...WHAT.flatMap(([term, text]) => [el('dt', {}, term), el('dd', {}, text)])),
    el('h2', {}, 'Keys'),
    keys,
  );
  function open() {
    const rows = commands().flatMap((command) => (command.keys ? [{ ...command, keys: command.keys }] : []));
    keys.replaceChildren(...rows.flatMap(({ name, keys }) => [el('dt', {}, ...keyCaps(keys)), el('dd', {}, name)]));
    dialog.showModal();
  }
  $('help').addEventListener('click', open);
  return { open };
}

/** @param {string} keys */
const keyCaps = (keys) => keys.split(' ').map((key) => (key === '+' ? '+' : el('kbd', {}, key)));
