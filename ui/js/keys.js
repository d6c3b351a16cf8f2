// @ts-check
// The keyboard. One table: what helpDialog shows is what happens.

import { $ } from './dom.js';
import { recall, remember } from './remember.js';
import { firstPosition } from './session.js';

/** @import { Actions } from './actions.js' */
/** @import { State } from './state.js' */

/** @type {[keys: string, does: string][]} */
export const KEYS = [
  ['Enter', 'run the prompt (Shift + Enter: a new line in it)'],
  ['Esc', 'stop the run; close what is open'],
  ['← →', 'previous, next token'],
  ['Shift + ← →', 'ten tokens back, forward'],
  ['Home End', 'first, last token'],
  ['Space', 'play or pause the replay'],
  ['L', 'go with the end again (live)'],
  ['F', 'fit the graph into view'],
  ['R', 'reset the camera'],
  ['G', 'switch between 3D and 2D'],
  ['1 2', 'to the active features, to the inspector'],
  ['[ ]', 'hide or show the panes at the sides'],
  ['/', 'to the prompt'],
  ['K', 'search labels'],
  ['?', 'this help'],
];

/**
 * @param {State} state
 * @param {Actions} actions
 * @param {{prompt: {focus(): void}, graph: {fit(): void, reset(): void, toggleDimensions(): void},
 *   labels: {open(): void}, help: {open(): void}}} panels
 */
export function startKeys(state, actions, { prompt, graph, labels, help }) {
  for (const name of ['left', 'right']) document.body.classList.toggle(`no-${name}`, recall(`no-${name}`, false));

  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const plain = {
    ArrowLeft: (event) => state.moveTo(state.t - (event.shiftKey ? 10 : 1)),
    ArrowRight: (event) => state.moveTo(state.t + (event.shiftKey ? 10 : 1)),
    Home: () => state.session && state.moveTo(firstPosition(state.session)),
    End: () => state.moveTo(Infinity),
    ' ': () => state.play(!state.playing),
    l: () => state.follow(),
    f: () => graph.fit(),
    r: () => graph.reset(),
    g: () => graph.toggleDimensions(),
    1: () => /** @type {HTMLElement | null} */ (document.querySelector('#active button'))?.focus(),
    2: () => $('feature').focus(),
    '[': () => togglePane('left'),
    ']': () => togglePane('right'),
    '/': () => prompt.focus(),
    k: () => labels.open(),
    '?': () => help.open(),
  };

  addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && state.running && !document.querySelector('dialog[open], [popover]:popover-open')) {
      event.preventDefault();
      void actions.stop();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog[open]')) return;
    if (typing(event.target) || (event.key === ' ' && pressable(event.target))) return;
    const act = plain[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || (event.defaultPrevented && event.key !== ' ')) return;
    event.preventDefault();
    act(event);
  });
}

/**
 * Hides or shows a pane.
 * @param {"left" | "right"} name
 * @param {boolean} [hide]
 */
export function togglePane(name, hide) {
  const hidden = document.body.classList.toggle(`no-${name}`, hide);
  remember(`no-${name}`, hidden);
}

/** Whether keys belong to a control: text fields, and sliders, lists and texts that are moved with arrow keys. @param {any} target */
const typing = (target) =>
  target instanceof Element && target.closest('textarea, input, select, [popover], .notice ul') !== null;

/** @param {any} target */
const pressable = (target) => target instanceof Element && target.closest('button, summary, a') !== null;
