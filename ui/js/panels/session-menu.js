// @ts-check
// What can be done with one past session: title and note, pin, compare, save, delete, and what it was made by.

import { $, el } from '../dom.js';
import { isTransient } from '../session.js';
import { NOT_STORED, moment } from '../words.js';
import { compareDialog } from './session-compare.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { SessionRow } from '../types.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function sessionMenu(state, actions) {
  const menu = $('session-menu');
  /** @type {HTMLDialogElement} */
  const dialog = $('session-dialog');
  const comparison = compareDialog(state, actions);
  /** @type {HTMLElement | null} */
  let opener = null;

  menu.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...menu.querySelectorAll('button:not(:disabled)')];
    const now = items.indexOf(/** @type {any} */ (document.activeElement));
    /** @type {HTMLElement} */ (items[(now + step + items.length) % items.length])?.focus();
  });
  menu.addEventListener('toggle', (/** @type {any} */ event) => {
    if (event.newState === 'closed' && menu.contains(document.activeElement)) opener?.focus();
  });

  /** @param {string} text @param {() => void} act @param {Record<string, any>} [more] */
  const item = (text, act, more = {}) =>
    el(
      'button',
      {
        type: 'button',
        role: 'menuitem',
        onclick: () => {
          menu.hidePopover();
          act();
        },
        ...more,
      },
      text,
    );

  /** @param {SessionRow | undefined} row @param {HTMLElement} from */
  function open(row, from) {
    if (!row) return;
    opener = from;
    const transient = isTransient(state.session);
    const other = state.session && !transient && state.session.uid !== row.uid ? state.session.uid : '';
    const formats = state.hello?.formats ?? [];
    menu.replaceChildren(
      item('Title and note …', () => edit(row), { 'data-do': 'edit' }),
      item(row.pinned ? 'Unpin' : 'Pin', () => void actions.editSession(row.uid, { pinned: !row.pinned }), {
        'data-do': 'pin',
      }),
      item('Compare with the one on screen', () => void comparison.open(other, row.uid), {
        'data-do': 'compare',
        disabled: !other,
        title: transient ? NOT_STORED : undefined,
      }),
      item('What it was made by …', () => void about(row), { 'data-do': 'about' }),
      el('p', { className: 'aside', role: 'presentation' }, 'Save as'),
      el(
        'div',
        { className: 'formats', role: 'presentation' },
        ...formats.map(({ name, about }) =>
          item(name, () => void actions.exportSession(row.uid, name), { title: about, 'data-form': name }),
        ),
      ),
      item('Delete', () => void actions.deleteSession(row), { 'data-do': 'delete', className: 'danger' }),
    );
    menu.showPopover();
    const place = from.getBoundingClientRect();
    const below = Math.min(place.bottom + 4, innerHeight - menu.offsetHeight - 8);
    menu.style.top = `${Math.max(8, below)}px`;
    menu.style.left = `${Math.min(place.left, innerWidth - menu.offsetWidth - 8)}px`;
    menu.querySelector('button')?.focus();
  }

  /** @param {SessionRow} row */
  function edit(row) {
    const title = el('input', { type: 'text', id: 'session-title', value: row.title, maxLength: 200 });
    const note = el('textarea', { id: 'session-note', value: row.note, rows: 6, maxLength: 20000 });
    const form = el(
      'form',
      { method: 'dialog' },
      el('h2', {}, 'Title and note'),
      el('label', { for: 'session-title' }, 'Title'),
      title,
      el('label', { for: 'session-note' }, 'Note'),
      note,
      el(
        'div',
        { className: 'buttons' },
        el('button', { type: 'submit', className: 'primary plain', value: 'save' }, 'Save'),
        el('button', { type: 'button', className: 'plain', onclick: () => dialog.close() }, 'Cancel'),
      ),
    );
    form.addEventListener('submit', () => void actions.editSession(row.uid, { title: title.value, note: note.value }));
    show('Title and note', form);
    title.select();
  }

  /** @param {SessionRow} row */
  async function about(row) {
    const start = await actions.startOf(row.uid);
    if (!start) return;
    /** @type {[string, string][]} */
    const facts = [
      ['when', moment(row.created_at)],
      ['model', start.model],
      ['SAEs', start.saes.join(', ') || 'none'],
      ['computed on', `${start.device}, ${start.dtype}`],
      [
        'settings',
        Object.entries(start.settings)
          .map(([name, value]) => `${name} ${value}`)
          .join(', '),
      ],
    ];
    if (start.parent) facts.push(['goes on from', `token ${start.parent.position} of another session`]);
    for (const [name, value] of Object.entries(start.provenance ?? {})) {
      if (typeof value === 'string') facts.push([name, value]);
      else if (name === 'model') facts.push(['weights of the model', weights(value)]);
      else for (const [sae, one] of Object.entries(value)) facts.push([`weights of ${sae}`, weights(one)]);
    }
    for (const note of start.notes ?? []) facts.push(['note', note]);
    const parent = start.parent;
    show(
      'What it was made by',
      el('h2', {}, row.title),
      el('dl', { className: 'facts' }, ...facts.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
      el(
        'div',
        { className: 'buttons' },
        ...(parent
          ? [
              el(
                'button',
                { type: 'button', className: 'plain', onclick: () => goTo(parent.session) },
                'Open where it goes on from',
              ),
            ]
          : []),
        el('button', { type: 'button', className: 'plain', onclick: () => dialog.close() }, 'Close'),
      ),
    );
  }

  /** @param {string} uid */
  function goTo(uid) {
    dialog.close();
    void actions.open(uid);
  }

  /** @param {string} name @param {...Node} content */
  function show(name, ...content) {
    dialog.setAttribute('aria-label', name);
    dialog.replaceChildren(...content);
    dialog.showModal();
  }

  return { open, comparison };
}

/** Where weights are from and what proves it. @param {any} one */
const weights = (one) =>
  [one.weights, one.revision && `revision ${one.revision}`, one.sha256 && `SHA-256 ${one.sha256}`]
    .filter(Boolean)
    .join(', ');
