// @ts-check
// The prompt box with its run and stop buttons. The prompt stays what the user typed, whatever happens to the run.

import { $ } from '../dom.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 * @param {{values(): Record<string, number>}} settings
 */
export function promptPanel(state, actions, settings) {
  /** @type {HTMLTextAreaElement} */
  const box = $('prompt');
  /** @type {HTMLButtonElement} */
  const run = $('run');
  /** @type {HTMLButtonElement} */
  const stop = $('stop');

  const start = () => void actions.run(box.value, settings.values());

  /** As tall as its text, up to the limit in app.css. */
  function grow() {
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight}px`;
  }

  run.addEventListener('click', start);
  stop.addEventListener('click', () => {
    stop.disabled = true; // until the run ends: it stops after the token under way
    void actions.stop();
  });
  box.addEventListener('input', grow);
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey && !event.isComposing) {
      event.preventDefault();
      start();
    }
  });

  state.on('running', () => {
    const focused = document.activeElement === run || document.activeElement === stop;
    run.hidden = state.running;
    stop.hidden = !state.running;
    stop.disabled = false;
    if (!state.running) {
      run.disabled = true; // a click meant for Stop must not start the next run
      setTimeout(() => (run.disabled = false), 350);
    }
    if (focused) (state.running ? stop : run).focus();
  });
  state.on('failure', () => {
    box.toggleAttribute('aria-invalid', state.failure !== null);
    if (state.failure && ['prompt', 'invalid_setting'].includes(state.failure.kind)) box.focus();
  });
  state.on('session', () => {
    // A box that nobody types into shows the prompt of the session on screen.
    if (!box.value && document.activeElement !== box && state.session?.start) box.value = state.session.start.prompt;
    grow();
  });

  return {
    run: start,
    focus() {
      box.focus();
      box.select();
    },
    /** Puts a text into the box, to be changed. @param {string} text */
    write(text) {
      box.value = text;
      grow();
      box.focus();
      box.setSelectionRange(text.length, text.length);
    },
    /** @param {string} text */
    runExample(text) {
      box.value = text;
      grow();
      start();
    },
  };
}
