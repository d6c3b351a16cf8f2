// @ts-check
// Past sessions, newest first. Opening one shows what was stored; it needs no model.

import { $, el } from '../dom.js';
import { counted, moment } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { SessionRow } from '../types.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function sessionsPanel(state, actions) {
  const list = $('sessions');

  list.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-session]');
    if (row) void actions.open(row.dataset.session);
  });

  state.on(['sessions', 'session', 'running'], () => {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.session;
    if (!state.sessions.length) {
      list.replaceChildren(
        el('p', { className: 'hint' }, 'What you run is kept here and can be replayed, without the model.'),
      );
      return;
    }
    list.replaceChildren(...state.sessions.map(row));
    if (state.moreSessions) {
      list.append(
        el(
          'button',
          { type: 'button', className: 'more', onclick: () => void actions.olderSessions() },
          'Older sessions',
        ),
      );
    }
    if (focused) /** @type {any} */ (list.querySelector(`[data-session="${CSS.escape(focused)}"]`))?.focus();
  });

  /** @param {SessionRow} session */
  function row(session) {
    const { uid, prompt, output, new_tokens, created_at, status } = session;
    const running = uid === state.live?.uid || status === 'running';
    const facts = [counted(new_tokens, 'token'), moment(created_at)];
    if (status === 'interrupted' || session.reason === 'error') facts.push('interrupted');
    return el(
      'button',
      {
        type: 'button',
        className: running ? 'session running' : 'session',
        'data-session': uid,
        'aria-current': state.session?.uid === uid ? 'true' : undefined,
        title: `${prompt}${output}`,
      },
      el('span', { className: 'text' }, el('b', {}, prompt), output.slice(0, 160)),
      el('small', {}, running ? 'writing now' : facts.join(' · ')),
    );
  }
}
