// @ts-check
// Two sessions side by side: their tokens, aligned where they match, and the features that differ most.

import { $, el, fillDialog } from '../dom.js';
import { asRecord } from '../bridge.js';
import { featureHead, tokenText } from '../shown.js';
import { counted, number, percent, signed, visible } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { Compared, Comparison, Step } from '../types.js' */

const [SHOWN, MOVED] = [60, 8]; // features; positions

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function compareDialog(state, actions) {
  /** @type {HTMLDialogElement} */
  const dialog = $('compare-dialog');
  dialog.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-feature]');
    if (!row) return;
    dialog.close();
    state.inspect(Number(row.dataset.feature), row.dataset.sae);
  });

  /** @param {string} a  the one on screen @param {string} b */
  async function open(a, b) {
    try {
      const [found, one, other] = await Promise.all([actions.compare(a, b), actions.stepsOf(a), actions.stepsOf(b)]);
      draw(found, one, other);
      dialog.showModal();
    } catch (error) {
      state.fail(asRecord(error));
    }
  }

  /** @param {Comparison} found @param {Step[]} a @param {Step[]} b */
  function draw(found, a, b) {
    const same = found.sae_a === found.sae_b;
    const facts = same
      ? `${counted(found.both, 'feature')} of ${found.sae_a} in both, ${found.only_a} only on the left, ${found.only_b} only on the right.`
      : `Features of two SAEs cannot be compared: left ${found.sae_a}, right ${found.sae_b}.`;
    const shown = found.features.slice(0, SHOWN);
    fillDialog(
      dialog,
      'Two sessions',
      el(
        'div',
        { className: 'sides' },
        strip('left', found.a.title, a, new Set(found.pairs.map(([p]) => p))),
        strip('right', found.b.title, b, new Set(found.pairs.map(([, q]) => q))),
      ),
      el('p', { className: 'aside' }, `${counted(found.aligned, 'token')} match; the others are marked. ${facts}`),
      predicted(found),
      table(found, shown),
      el(
        'p',
        { className: 'aside' },
        `${shown.length} of ${counted(found.features_total, 'feature')}, the largest change of the mean first. Means count ` +
          'tokens at which a feature is silent, or not among those kept, as 0.',
      ),
    );
  }

  /** Where the two predict most differently, as long as their tokens are the same. @param {Comparison} found */
  function predicted({ predictions }) {
    const most = [...predictions]
      .filter(({ moved }) => moved >= 0.005)
      .sort((x, y) => y.moved - x.moved)
      .slice(0, MOVED)
      .sort((x, y) => x.position - y.position);
    if (!most.length) return null;
    return el(
      'details',
      { className: 'predicted', open: true },
      el('summary', {}, 'What they predict next, where it differs most'),
      el(
        'ol',
        {},
        ...most.map(({ position, piece, moved, tokens }) =>
          el(
            'li',
            {},
            el('span', {}, `at ${position} `, tokenText(piece)),
            el('small', {}, `${percent(moved)} of the probability moved`),
            el(
              'span',
              { className: 'chances' },
              ...tokens
                .filter(({ a, b }) => Math.abs((a ?? 0) - (b ?? 0)) >= 0.01)
                .slice(0, 4)
                .map(({ text, a, b }) => el('span', {}, tokenText(text), ` ${percent(a)} → ${percent(b)}`)),
            ),
          ),
        ),
      ),
    );
  }

  /** @param {string} side @param {string} title @param {Step[]} steps @param {Set<number>} matched */
  const strip = (side, title, steps, matched) =>
    el(
      'section',
      { 'aria-label': `${side}: ${title}` },
      el('h3', {}, title),
      el(
        'p',
        { className: 'strip', tabIndex: 0 },
        ...steps.map((step) =>
          matched.has(step.position)
            ? el('span', {}, visible(step.piece))
            : el('mark', { title: 'only here' }, visible(step.piece)),
        ),
      ),
    );

  /** @param {Comparison} found @param {Compared[]} rows */
  function table(found, rows) {
    const most = Math.max(...rows.map((row) => Math.max(row.mean_a, row.mean_b)), 1e-9);
    /** @param {number} value @param {string} side */
    const bar = (value, side) =>
      el('span', { className: `bar ${side}` }, el('i', { style: `width:${(100 * value) / most}%` }));
    return el(
      'div',
      { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Features that differ' },
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...['Feature', 'Mean left', 'Bars', 'Mean right', 'Strongest', 'Aligned'].map((text) =>
              el('th', { scope: 'col' }, text),
            ),
          ),
        ),
        el(
          'tbody',
          {},
          ...rows.map((row) =>
            el(
              'tr',
              {},
              featureHead(row, row.where === 'b' ? found.sae_b : found.sae_a),
              el('td', {}, number(row.mean_a)),
              el('td', { 'aria-hidden': 'true' }, bar(row.mean_a, 'left'), bar(row.mean_b, 'right')),
              el('td', {}, number(row.mean_b)),
              el('td', {}, `${number(row.max_a)} · ${number(row.max_b)}`),
              el('td', {}, row.aligned ? signed(row.aligned) : '–'),
            ),
          ),
        ),
      ),
    );
  }

  return { open };
}
