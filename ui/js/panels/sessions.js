// @ts-check
// Past sessions, newest first, and searching them. Opening one shows what was stored; it needs no model.

import { $, el, icon, setText } from '../dom.js';
import { togglePane } from '../keys.js';
import { counted, moment, size } from '../words.js';
import { sessionMenu } from './session-menu.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { SessionRow } from '../types.js' */

const TYPING = 150; // ms without a key before a search begins

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function sessionsPanel(state, actions) {
  const list = $('sessions');
  const pinned = $('sessions-pinned');
  /** @type {HTMLInputElement} */
  const search = $('sessions-search');
  /** @type {HTMLInputElement} */
  const file = $('import-file');
  const menu = sessionMenu(state, actions);
  let typing = 0;

  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = window.setTimeout(() => actions.searchSessions({ text: search.value.trim() }), TYPING);
  });
  search.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') /** @type {HTMLElement | null} */ (list.querySelector('.session'))?.focus();
  });
  pinned.addEventListener('click', () => {
    const only = pinned.getAttribute('aria-pressed') !== 'true';
    pinned.setAttribute('aria-pressed', String(only));
    actions.searchSessions({ pinned: only });
  });
  $('import').addEventListener('click', () => file.click());
  file.addEventListener('change', async () => {
    const [chosen] = file.files ?? [];
    file.value = '';
    const uid = chosen && (await actions.importSession(chosen));
    if (uid) void actions.open(uid);
  });

  list.addEventListener('click', (/** @type {any} */ event) => {
    const more = event.target.closest('[data-menu]');
    if (more) return menu.open(rowOf(more.dataset.menu), more);
    const row = event.target.closest('[data-session]');
    if (row) void actions.open(row.dataset.session);
  });
  list.addEventListener('contextmenu', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-session]');
    if (!row) return;
    event.preventDefault();
    menu.open(rowOf(row.dataset.session), row);
  });
  list.addEventListener('keydown', (/** @type {any} */ event) => {
    const uid = event.target.dataset?.session;
    if (uid && event.key === 'Delete') void actions.deleteSession(/** @type {SessionRow} */ (rowOf(uid)));
    const step = { ArrowDown: 1, ArrowUp: -1 }[/** @type {string} */ (event.key)];
    if (!step) return;
    event.preventDefault();
    const rows = [...list.querySelectorAll('.session')];
    const next = rows[rows.indexOf(event.target.closest('.row')?.querySelector('.session')) + step];
    /** @type {HTMLElement | undefined} */ (next)?.focus();
  });

  /** @param {string} uid */
  const rowOf = (uid) => state.sessions.find((row) => row.uid === uid);

  state.on(['sessions', 'session', 'running'], () => {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset;
    const kept = state.sessionsBytes > 0 ? `${size(state.sessionsBytes)} on disk` : '';
    setText($('sessions-size'), kept);
    if (!state.sessions.length) {
      const narrowed = state.search.text || state.search.pinned;
      const hint = narrowed ? 'None found.' : 'What you run is kept here and can be replayed, without the model.';
      list.replaceChildren(el('p', { className: 'hint' }, hint));
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
    const again = focused?.session ? 'session' : focused?.menu ? 'menu' : '';
    if (again)
      /** @type {any} */ (list.querySelector(`[data-${again}="${CSS.escape(focused?.[again] ?? '')}"]`))?.focus();
  });

  /** @param {SessionRow} session */
  function row(session) {
    const { uid, title, prompt, output, new_tokens, created_at, status, note, parent, steered } = session;
    const running = uid === state.live?.uid || status === 'running';
    const facts = [counted(new_tokens, 'token'), moment(created_at)];
    if (status === 'interrupted' || session.reason === 'error') facts.push('interrupted');
    if (parent) facts.push('goes on from another');
    if (steered) facts.push('steered');
    const renamed = !prompt.replace(/\s+/g, ' ').startsWith(title.replace(/…$/, ''));
    const open = el(
      'button',
      {
        type: 'button',
        className: running ? 'session running' : 'session',
        'data-session': uid,
        'aria-current': state.session?.uid === uid ? 'true' : undefined,
        title: `${prompt}${output}${note ? `\n\n${note}` : ''}`,
      },
      el(
        'span',
        { className: 'text' },
        el('b', {}, renamed ? title : prompt),
        renamed ? ` ${prompt}` : output.slice(0, 160),
      ),
      el('small', {}, ...(session.pinned ? [icon('pin')] : []), running ? 'writing now' : facts.join(' · ')),
      ...(note ? [el('small', { className: 'note' }, note.split('\n')[0])] : []),
    );
    const more = el(
      'button',
      {
        type: 'button',
        className: 'quiet menu',
        'data-menu': uid,
        'aria-haspopup': 'menu',
        'aria-label': `More about ${title}`,
        title: 'Rename, note, pin, compare, save, delete',
      },
      icon('dots'),
    );
    return el('div', { className: 'row' }, open, more);
  }

  return {
    comparison: menu.comparison,
    /** Searches past sessions for a text. @param {string} text */
    write(text) {
      togglePane('left', false);
      search.value = text;
      search.focus();
      actions.searchSessions({ text });
    },
  };
}
