// @ts-check
// Reading along: with the switch on, the prompt is read when the user stops typing for a moment, and its tokens and
// features are on screen like those of a session. Nothing is stored, and what was on screen comes back.

import { asRecord } from '../actions.js';
import { $, el } from '../dom.js';
import { isOf, isTransient } from '../session.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

const PAUSE = 250; // ms without a key

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function typingPanel(state, actions) {
  /** @type {HTMLTextAreaElement} */
  const box = $('prompt');
  let timer = 0;
  let asking = false;

  /** Reads what is in the box, unless that is on screen already. One question at a time, then the latest. */
  async function read() {
    const text = box.value;
    if (!state.typing || !text.trim()) return stop();
    if (asking || state.running) return;
    const { session, model, saes, before } = state;
    if (before && isOf(before.session, text, model, saes)) return stop();
    if (isOf(session, text, model, saes)) return state.leaveUnread('');
    asking = true;
    try {
      const found = await actions.read(text);
      // Whoever has opened or started another session meanwhile, or emptied the box, wants to see that.
      if (state.session === session && state.typing && !state.running && box.value.trim()) state.glance(found);
      state.leaveUnread('');
    } catch (error) {
      const { kind, message } = asRecord(error);
      if (!state.running) state.leaveUnread(message);
      if (kind === 'busy' && state.engine?.state === 'ready') soon(); // it was, and the word of that came first
    } finally {
      asking = false;
    }
    if (box.value !== text) await read();
  }

  function stop() {
    state.leaveUnread('');
    state.glanceBack();
  }

  function soon() {
    clearTimeout(timer);
    timer = window.setTimeout(() => void read(), PAUSE);
  }

  box.addEventListener('input', soon);
  state.on('typing', () => void read());
  state.on('running', () => state.running && state.leaveUnread(''));
  state.on('engine', () => {
    // Loaded only now, or another model in the place of the one that has read it.
    if (state.engine?.state === 'ready' && (state.unread || isTransient(state.session))) void read();
  });
}

/** The switch. @param {State} state */
export function typingSwitch(state) {
  const box = el('input', { type: 'checkbox', id: 'typing', checked: state.typing });
  box.addEventListener('change', () => state.readAlong(box.checked));
  state.on('typing', () => (box.checked = state.typing));
  return el(
    'div',
    { className: 'preference' },
    el('label', { for: 'typing' }, 'Read as I type'),
    box,
    el('small', {}, 'The features of a prompt appear while you type it. Nothing of that is stored.'),
  );
}
