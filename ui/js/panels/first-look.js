// @ts-check
// What the very first start shows over the graph: while a recorded session plays, what one sees, sentence by sentence.

import { $, calm, el, icon } from '../dom.js';
import { firstPosition, lastPosition } from '../session.js';

/** @import { State } from '../state.js' */

const SPEED = 4; // tokens a second
const EXAMPLES = 2; // and none that is long: the card stands over the graph
const LONG = 24; // characters
const SENTENCES = [
  'Each dot is a feature, something that the model has learned to notice; some have a label.',
  'Its color and size say how strongly it fires at the token under the cursor: click a token below, or drag the slider.',
  'Lines join features that fired together, which proves no cause; “unexplained” is how much no feature accounts for.',
];

/**
 * @param {State} state
 * @param {(prompt: string) => void} runExample
 */
export function firstLookPanel(state, runExample) {
  const card = $('first-look');
  const said = el('div', { className: 'sentences', 'aria-live': 'polite' });
  const examples = el('div', { className: 'examples' });
  const again = el('button', { type: 'button', id: 'play-again', onclick: playAgain }, 'Play again');
  let waiting = false; // for the layout: then the dots appear where they belong, and stay there

  card.append(
    el(
      'header',
      {},
      el('h2', { id: 'first-look-title' }, 'A first look, recorded'),
      el(
        'button',
        {
          type: 'button',
          id: 'close-first-look',
          className: 'quiet',
          'aria-label': 'Close',
          title: 'Close (Esc)',
          onclick: close,
        },
        icon('close'),
      ),
    ),
    said,
    examples,
  );

  function close() {
    if (card.contains(document.activeElement)) $('prompt').focus();
    state.lookFirst('');
  }

  function playAgain() {
    if (!state.session) return;
    state.moveTo(firstPosition(state.session));
    state.play(true);
  }

  /** Says as many sentences as fit to how far the session has played; what was said stays. */
  function say() {
    const { session, t } = state;
    if (!session || waiting) return;
    const first = firstPosition(session);
    const share = (t - first) / Math.max(1, lastPosition(session) - first);
    const wanted = Math.min(SENTENCES.length, 1 + Math.floor(share * SENTENCES.length));
    for (const sentence of SENTENCES.slice(said.childElementCount, wanted)) said.append(el('p', {}, sentence));
    examples.hidden = said.childElementCount < SENTENCES.length; // so that no button moves
  }

  /** @param {string} text */
  function example(text) {
    return el('button', { type: 'button', 'data-example': text, onclick: () => runExample(text) }, text);
  }

  state.on('first', () => {
    if (!state.first) return (card.hidden = true);
    const model = state.hello?.models.find((one) => one.id === state.session?.start?.model);
    const others = (model?.examples ?? []).filter(
      (text) => text !== state.session?.start?.prompt && text.length < LONG,
    );
    const run = others.length ? [el('span', { className: 'muted' }, 'or run:')] : [];
    examples.replaceChildren(again, ...run, ...others.slice(0, EXAMPLES).map(example));
    waiting = card.hidden = !calm();
  });
  state.on(['first', 'graph', 'cursor'], () => {
    if (!state.first) return;
    if (waiting && state.graph) {
      waiting = card.hidden = false;
      state.playAt(SPEED);
      playAgain();
    } else say();
  });
  state.on(['session', 'running'], () => {
    if (state.running || state.session?.uid !== state.first) state.lookFirst('');
  });
  addEventListener('keydown', (event) => {
    const other = document.querySelector('dialog[open], [popover]:popover-open, #feature:focus-within'); // closed first
    if (event.key === 'Escape' && !card.hidden && !event.defaultPrevented && !other) close();
  });
}
