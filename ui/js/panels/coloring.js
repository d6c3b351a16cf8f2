// @ts-check
// The choice of what the tokens are colored by; analyses are offered once a token has one that is a number.

import { $, el } from '../dom.js';
import { analysisOf, byAnalysis, noteNumbers } from '../coloring.js';

/** @import { Session } from '../session.js' */
/** @import { State } from '../state.js' */

/** @param {State} state */
export function coloringPanel(state) {
  /** @type {HTMLSelectElement} */
  const choice = $('color-by');
  /** @type {Set<string>} */
  let numbers = new Set();
  /** @type {Session | null} */
  let seen = null;
  let seenTo = 0;
  choice.addEventListener('change', () => state.colorTokensBy(choice.value));

  state.on(['hello', 'session', 'steps', 'choice'], () => {
    const steps = state.session?.steps ?? [];
    if (seen !== state.session) [seen, seenTo, numbers] = [state.session, 0, new Set()];
    noteNumbers(numbers, steps.slice(seenTo));
    seenTo = steps.length;
    const known = Object.keys(state.hello?.analysers ?? {});
    const chosen = analysisOf(state.colorBy);
    const names = [
      ...known.filter((name) => numbers.has(name)),
      ...[...numbers].filter((name) => !known.includes(name)),
    ];
    if (chosen !== null && !names.includes(chosen)) names.push(chosen); // it stays chosen for the next session
    const signature = `${names.join('|')}|${state.colorBy}`;
    if (choice.dataset.signature === signature) return; // an open list must not be rebuilt at each token
    choice.dataset.signature = signature;
    choice.replaceChildren(
      el('option', { value: 'feature' }, 'selected feature'),
      el('option', { value: 'unexplained' }, 'unexplained share'),
      ...names.map((name) => el('option', { value: byAnalysis(name) }, name)),
    );
    choice.value = state.colorBy;
    if (!choice.value) state.colorTokensBy('feature'); // of an older version
  });
}
