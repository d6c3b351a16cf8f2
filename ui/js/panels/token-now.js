// @ts-check
// What the model does at the cursor, before its features: where it stands, how much of it the SAE explains, and what it
// expected to come next.

import { $, el, refill, setText } from '../dom.js';
import { chances } from '../expected.js';
import { isTransient } from '../session.js';
import { chanceRow, tokenText } from '../shown.js';
import { analysis, percent, quoted } from '../words.js';

/** @import { State } from '../state.js' */
/** @import { Step } from '../types.js' */

/**
 * @param {State} state
 * @param {{open(position: number, token_id?: number): void}} why
 */
export function tokenNowPanel(state, why) {
  const at = $('at');
  const measures = $('measures');
  /** @type {HTMLDetailsElement} */
  const expected = $('expected');
  const [summary, list] = /** @type {any} */ (expected).children;
  expected.open = state.view.expected;
  expected.addEventListener('toggle', () => {
    if (expected.open !== state.view.expected) state.look({ expected: expected.open }); // setting it fires too
  });

  state.on(['session', 'steps', 'cursor', 'choice', 'hello', 'running'], () => {
    const step = state.session?.steps[state.t];
    sayWhere(step);
    sayMeasures(step);
    sayExpected(step);
    $('why').disabled = !step || step.is_bos || isTransient(state.session) || state.running;
  });

  /** @param {Step | undefined} step */
  function sayWhere(step) {
    const quiet = (/** @type {string} */ text) => el('span', { className: 'muted' }, text);
    if (!step) return at.replaceChildren(quiet('Nothing has been read yet.'));
    if (step.is_bos) {
      const why = 'At the start of the text. No features are listed here: this position is the same for every prompt.';
      return at.replaceChildren(quiet(why));
    }
    at.replaceChildren(
      'at ',
      tokenText(step.piece),
      ...(step.next ? [' → next ', tokenText(step.next.text)] : unwritten(step)),
    );
  }

  /** What stands where no token has been written yet. @param {Step} step */
  function unwritten({ alternatives: [best] }) {
    const quiet = (/** @type {string} */ text) => el('span', { className: 'muted' }, text);
    if (!isTransient(state.session) || !best) return [quiet(state.session?.end ? ' → last token' : ' → next …')];
    return [' → likely ', tokenText(best.text), quiet(` ${percent(Math.exp(best.logprob))}`)];
  }

  /** @param {Step | undefined} step */
  function sayMeasures(step) {
    const reading = step && !step.is_bos && state.shown.length === 1 ? step.saes[state.sae] : null;
    const analysers = state.hello?.analysers ?? {};
    const found = step?.analyses ?? {};
    const names = new Set([...Object.keys(analysers), ...Object.keys(found)]);
    measures.replaceChildren(
      ...(state.shown.length === 1
        ? [
            measure('L0', reading ? String(reading.l0) : '–', 'How many features are active at this token'),
            measure(
              'unexplained',
              percent(reading?.unexplained),
              'Share of the model’s activity here that the SAE does not reproduce',
            ),
          ]
        : []),
      ...[...names].map((name) => {
        const value = analysis(found[name], analysers[name]);
        return measure(name, value, `${name}: ${value}\n${analysers[name]?.about ?? 'No plugin says what this is.'}`);
      }),
    );
  }

  /** @param {Step | undefined} step */
  function sayExpected(step) {
    const { first, rows } = chances(step);
    expected.hidden = !first;
    if (!first) return;
    setText(summary, `Expected next: ${quoted(first.text)} ${percent(first.chance)}`);
    if (expected.open) refill(list, ...rows.map((row) => chanceRow(row, true)));
  }
  list.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-token]');
    if (row) why.open(state.t, Number(row.dataset.token));
  });
  $('why').addEventListener('click', () => why.open(state.t));
  expected.addEventListener('toggle', () => sayExpected(state.session?.steps[state.t]));
}

/** @param {string} name @param {string} value @param {string} title */
const measure = (name, value, title) => el('div', { title }, el('dt', {}, name), el('dd', {}, value));
