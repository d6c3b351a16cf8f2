// @ts-check
// What went wrong, in place: a refused run near the prompt, a lost connection, plugins and files with problems.

import { $, copying, el, icon, setText } from '../dom.js';
import { counted } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { ErrorRecord, Problem } from '../types.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function noticesPanel(state, actions) {
  const failure = $('failure');
  const disconnected = $('disconnected');
  const problems = $('problems');
  const count = $('problems-count');
  const number = count.lastElementChild;
  const crash = $('crash');

  state.on('failure', () => {
    failure.hidden = !state.failure;
    failure.replaceChildren(
      ...(state.failure
        ? [
            ...said(state.failure),
            ...(state.retry
              ? [
                  el(
                    'button',
                    { type: 'button', className: 'plain', id: 'try-again', onclick: state.retry },
                    'Try again',
                  ),
                ]
              : []),
            copying(details(state, state.failure), 'Copy details'),
            closing('Dismiss the error', () => state.fail(null)),
          ]
        : []),
    );
  });

  state.on('connection', () => {
    document.body.dataset.connection = state.connection;
    disconnected.hidden = state.connection !== 'disconnected';
    if (!state.connectionError) return;
    const trying = state.connectionError.kind === 'token' ? null : el('i', {}, 'Trying again …');
    disconnected.replaceChildren(...said(state.connectionError), ...(trying ? [trying] : []));
  });

  let dismissed = 0; // how many of them were there when the user had read enough
  function list() {
    const listed = state.problems.slice(dismissed);
    const said = counted(state.problems.length, 'problem');
    problems.hidden = !listed.length;
    problems.replaceChildren(
      el('ul', { tabIndex: 0, 'aria-label': counted(listed.length, 'problem') }, ...listed.map(problem)),
      closing('Dismiss the problems', () => dismiss(state.problems.length)),
    );
    count.hidden = !state.problems.length;
    count.title = `${listed.length ? 'Hide' : 'Show'} ${said}`;
    count.setAttribute('aria-label', said);
    count.setAttribute('aria-expanded', String(!problems.hidden));
    setText(number, String(state.problems.length));
  }
  /** @param {number} upTo */
  function dismiss(upTo) {
    const focused = problems.contains(document.activeElement);
    dismissed = upTo;
    list();
    if (focused) count.focus();
  }
  count.addEventListener('click', () => dismiss(problems.hidden ? 0 : state.problems.length));
  state.on('problems', list);

  state.on('hello', () => {
    const report = state.hello?.crash ?? null;
    crash.hidden = !report;
    if (!report) return crash.replaceChildren();
    crash.replaceChildren(
      ...said({ message: 'AXON Shell ended unexpectedly last time.', hint: `${report.when}, report: ${report.path}` }),
      copying(report.text),
      closing('Dismiss the report', () => void actions.dismissCrash()),
    );
  });
}

/**
 * What somebody who helps would ask for.
 * @param {State} state
 * @param {ErrorRecord} error
 */
const details = ({ hello, model, saes, engine }, { kind, message, hint }) =>
  [
    `${kind}: ${message}`,
    hint,
    `model ${model || '–'}, SAEs ${saes.join(', ') || '–'}`,
    [engine?.device, engine?.dtype].filter(Boolean).join(', '),
    `AXON Shell ${hello?.version ?? ''}, ${navigator.userAgent}`,
  ]
    .filter(Boolean)
    .join('\n');

/** @param {Problem} found */
const problem = ({ name, message, hint }) =>
  el('li', {}, el('b', {}, name), ' ', el('span', { className: 'message' }, message), ' ', el('span', {}, hint));

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
