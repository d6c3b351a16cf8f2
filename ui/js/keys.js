// @ts-check
// The keyboard: hands keys to the commands of commands.js.

import { recall, remember } from './remember.js';

/** @import { Actions } from './actions.js' */
/** @import { Command } from './commands.js' */
/** @import { State } from './state.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 * @param {Command[]} commands
 */
export function startKeys(state, actions, commands) {
  const byKey = new Map(commands.flatMap((command) => (command.on ?? []).map((key) => [key, command])));

  addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && state.running && !document.querySelector('dialog[open], [popover]:popover-open')) {
      event.preventDefault();
      void actions.stop();
      return;
    }
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const command = byKey.get(control ? `ctrl+${key}` : key);
    if (!command || event.altKey || document.querySelector('dialog[open]')) return;
    // With Ctrl a key means the same everywhere; without, it may belong to a control.
    if (!control && (typing(event.target) || (key === ' ' && pressable(event.target)))) return;
    if (event.defaultPrevented && key !== ' ') return;
    event.preventDefault();
    if (command.can?.() ?? true) command.act(event);
  });
}

/** Puts the panes at the sides where they were left. */
export function startPanes() {
  for (const name of ['left', 'right']) document.body.classList.toggle(`no-${name}`, recall(`no-${name}`, false));
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
