// @ts-check
// Doing anything by name: commands, features of the session, past sessions, models and SAEs, and tokens by position.

import { $, el } from '../dom.js';
import { matching } from '../matching.js';
import { featureName } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { Command } from '../commands.js' */
/** @import { State } from '../state.js' */

const MOST = 60; // entries shown

/** @typedef {{name: string, kind: string, keys?: string, act: () => unknown}} Entry */

/**
 * @param {State} state
 * @param {Actions} actions
 * @param {() => Command[]} commands
 * @param {{write(text: string): void}} sessionsSearch   takes a text that is to be searched in past sessions
 */
export function palette(state, actions, commands, sessionsSearch) {
  /** @type {HTMLDialogElement} */
  const dialog = $('palette');
  const list = el('div', { id: 'palette-list', role: 'listbox', 'aria-label': 'What can be done' });
  const field = el('input', {
    type: 'search',
    id: 'palette-search',
    placeholder: 'A command, a feature, a session, a token’s number …',
    role: 'combobox',
    autocomplete: 'off',
    spellcheck: false,
    'aria-label': 'Do anything by name',
    'aria-controls': 'palette-list',
    'aria-expanded': 'true',
    'aria-autocomplete': 'list',
  });
  dialog.append(field, list);
  /** @type {Entry[]} */
  let entries = [];
  /** @type {Entry[]} */
  let found = [];
  let chosen = 0;

  field.addEventListener('input', fill);
  field.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) choose(Math.max(0, Math.min(found.length - 1, chosen + step)));
    else if (event.key === 'Enter') take(found[chosen]);
    else if (event.key === 'Escape')
      dialog.close(); // at once: a search field would first take its text away
    else return;
    event.preventDefault();
  });
  list.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-entry]');
    if (row) take(found[Number(row.dataset.entry)]);
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close(); // a click beside it
  });

  /** @param {Entry | undefined} entry */
  function take(entry) {
    if (!entry) return;
    dialog.close(); // first: what is done may set the focus
    void entry.act();
  }

  function fill() {
    const query = field.value.trim();
    const named = matching(entries, query, ({ name, kind }) => `${name} ${kind}`);
    found = [...asked(query, named.length > 0), ...named].slice(0, MOST);
    list.replaceChildren(...found.map(row));
    if (!found.length) list.append(el('p', { className: 'hint' }, 'Nothing by that name.'));
    choose(0);
  }

  /** What a query itself asks for. @param {string} query @param {boolean} found  something has that name @returns {Entry[]} */
  function asked(query, found) {
    const position = Number(query);
    if (/^\d+$/.test(query) && state.session && position < state.session.steps.length) {
      return [{ name: `To token ${position}`, kind: 'token', act: () => state.moveTo(position) }];
    }
    if (found || query.length < 2) return [];
    return [{ name: `Search past sessions for “${query}”`, kind: 'search', act: () => sessionsSearch.write(query) }];
  }

  /** @param {Entry} entry @param {number} i */
  function row({ name, kind, keys }, i) {
    return el(
      'div',
      { role: 'option', id: `palette-${i}`, 'data-entry': i, 'aria-selected': 'false' },
      el('span', {}, name),
      el('small', {}, keys ? el('kbd', {}, keys) : kind),
    );
  }

  /** @param {number} i */
  function choose(i) {
    list.children[chosen]?.setAttribute('aria-selected', 'false');
    chosen = i;
    const row = found.length ? list.children[i] : null;
    row?.setAttribute('aria-selected', 'true');
    row?.scrollIntoView({ block: 'nearest' });
    if (row) field.setAttribute('aria-activedescendant', row.id);
    else field.removeAttribute('aria-activedescendant');
  }

  return {
    open() {
      if (document.querySelector('dialog[open]')) return;
      entries = [
        ...commands().map(asEntry),
        ...features(state),
        ...sessions(state, actions),
        ...choices(state, actions),
      ];
      field.value = '';
      dialog.showModal();
      field.focus();
      fill();
    },
  };
}

/** @param {Command} command @returns {Entry} */
const asEntry = ({ name, keys, act }) => ({ name, kind: 'command', keys, act: () => act() });

/** The features that fired up to the cursor. @param {State} state @returns {Entry[]} */
const features = (state) =>
  (state.graph?.nodes ?? [])
    .filter((node) => node.label)
    .map(({ sae, feature, label, label_state }) => ({
      name: featureName(feature, label, label_state),
      kind: `feature ${feature}${state.shown.length > 1 ? ` of ${sae}` : ''}`,
      act: () => state.inspect(feature, sae),
    }));

/** @param {State} state @param {Actions} actions @returns {Entry[]} */
const sessions = (state, actions) =>
  state.sessions.map(({ uid, title, output }) => ({
    name: `Open “${title}”${output.slice(0, 60)}`,
    kind: 'session',
    act: () => actions.open(uid),
  }));

/** @param {State} state @param {Actions} actions @returns {Entry[]} */
function choices(state, actions) {
  const models = (state.hello?.models ?? [])
    .filter((model) => model.id !== state.model)
    .map(({ id, name, sae }) => ({
      name: `Use the model ${name}`,
      kind: 'model',
      act: () => {
        state.choose(id, sae ? [sae] : []);
        void actions.load();
      },
    }));
  const shown = (state.session?.start?.saes ?? [])
    .filter((id) => id !== state.sae || state.together)
    .map((id) => ({
      name: `Show ${state.saeName(id)}`,
      kind: `SAE ${id}`,
      act: () => state.showSae(id),
    }));
  return [...shown, ...models];
}
