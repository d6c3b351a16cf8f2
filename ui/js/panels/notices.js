// @ts-check
// What went wrong, in place: a refused run near the prompt, a lost connection, plugins and files with problems.

import { $, el, icon } from '../dom.js';

/** @import { State } from '../state.js' */
/** @import { Problem } from '../types.js' */

/** @param {State} state */
export function noticesPanel(state) {
  const failure = $('failure');
  const disconnected = $('disconnected');
  const problems = $('problems');
  let dismissed = false;

  state.on('failure', () => {
    failure.hidden = !state.failure;
    failure.replaceChildren(
      ...(state.failure ? [...said(state.failure), closing('Dismiss the error', () => state.fail(null))] : []),
    );
  });

  state.on('connection', () => {
    document.body.dataset.connection = state.connection;
    disconnected.hidden = state.connection !== 'disconnected';
    if (!state.connectionError) return;
    const trying = state.connectionError.kind === 'token' ? null : el('i', {}, 'Trying again …');
    disconnected.replaceChildren(...said(state.connectionError), ...(trying ? [trying] : []));
  });

  state.on('hello', () => {
    const store = state.hello?.store;
    const found = [...(state.hello?.problems ?? [])];
    if (store?.message) found.unshift({ name: 'sessions.db', message: store.message, hint: store.path });
    problems.hidden = dismissed || !found.length;
    problems.replaceChildren(
      el('ul', {}, ...found.map(problem)),
      closing('Dismiss the problems', () => {
        dismissed = true;
        problems.hidden = true;
      }),
    );
  });
}

/** @param {Problem} found */
const problem = ({ name, message, hint }) => el('li', {}, el('b', {}, name), ...said({ message, hint }));

/** @param {{message: string, hint: string}} error */
const said = ({ message, hint }) => [
  el('span', { className: 'message' }, message),
  hint ? el('span', { className: 'hint' }, hint) : '',
];

/** @param {string} name @param {() => void} act */
const closing = (name, act) =>
  el(
    'button',
    { type: 'button', className: 'quiet close', 'aria-label': name, title: name, onclick: act },
    icon('close'),
  );
