// @ts-check
// The features that fire at the cursor, strongest first: the graph's accessible twin.

import { $, el, setText } from '../dom.js';
import { activationColor, css } from '../color.js';
import { NO_DESCRIPTION, isAutomatic } from '../label-words.js';
import { isTransient, readingAt, strongestUpTo } from '../session.js';
import { theme } from '../theme.js';
import { analysis, counted, featureName, number, percent, quoted } from '../words.js';

/** @import { State } from '../state.js' */
/** @import { ActiveFeature, Step } from '../types.js' */

/** @param {State} state */
export function activePanel(state) {
  const list = $('active');
  const at = $('at');
  const measures = $('measures');
  /** @type {HTMLInputElement} */
  const threshold = $('threshold');
  const thresholdText = /** @type {HTMLElement} */ (threshold.nextElementSibling);
  /** @type {ReturnType<typeof makeRow>[]} rows are kept and refilled: at 100 tokens a second none is created */
  const rows = [];

  list.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-feature]');
    if (row) state.inspect(Number(row.dataset.feature));
  });
  list.addEventListener('pointerover', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-feature]');
    state.point(row ? Number(row.dataset.feature) : null);
  });
  list.addEventListener('pointerleave', () => state.point(null));
  list.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...list.querySelectorAll('li:not([hidden]) button')];
    const next = buttons[buttons.indexOf(/** @type {any} */ (document.activeElement)) + step];
    /** @type {HTMLElement | undefined} */ (next)?.focus();
  });
  threshold.addEventListener('input', () => state.listAbove(Number(threshold.value)));

  state.on(['session', 'steps', 'cursor', 'choice', 'feature', 'hover', 'theme', 'names'], () => {
    const step = state.session?.steps[state.t];
    const reading = readingAt(state.session, state.sae, state.t);
    const strongest = strongestUpTo(state.session, state.sae, state.t);
    const all = reading?.features ?? [];
    const listed = all.filter((active) => active.activation >= state.threshold);

    threshold.max = strongest ? (Math.ceil(strongest * 10) / 10).toFixed(1) : '1';
    threshold.value = String(state.threshold);
    threshold.style.setProperty('--share', String(state.threshold / Number(threshold.max)));
    setText(thresholdText, state.threshold ? number(state.threshold) : 'all');

    sayWhere(step);
    sayMeasures(step);
    setText(
      $('active-count'),
      reading && !step?.is_bos
        ? listed.length < reading.l0
          ? `${listed.length} of ${counted(reading.l0, 'feature')}`
          : counted(reading.l0, 'feature')
        : '',
    );
    $('active-count').title = 'Kept are the strongest of each token; how many, the settings say.';
    while (rows.length < listed.length) {
      rows.push(makeRow());
      list.append(rows[rows.length - 1].item);
    }
    rows.forEach((row, i) => fill(row, listed[i], i, strongest));
    list.classList.toggle('none', !listed.length);
  });

  /** @param {Step | undefined} step */
  function sayWhere(step) {
    if (!step) return at.replaceChildren(el('span', { className: 'muted' }, 'Nothing has been read yet.'));
    if (step.is_bos)
      return at.replaceChildren(
        el(
          'span',
          { className: 'muted' },
          'At the start of the text. No features are listed here: this position is the same for every prompt.',
        ),
      );
    at.replaceChildren(
      'at ',
      el('q', {}, quoted(step.piece).slice(1, -1)),
      ...(step.next ? [' → next ', el('q', {}, quoted(step.next.text).slice(1, -1))] : unwritten(step)),
    );
  }

  /** What stands where no token has been written yet. @param {Step} step */
  function unwritten({ alternatives: [best] }) {
    if (!isTransient(state.session) || !best)
      return [el('span', { className: 'muted' }, state.session?.end ? ' → last token' : ' → next …')];
    return [
      ' → likely ',
      el('q', {}, quoted(best.text).slice(1, -1)),
      el('span', { className: 'muted' }, ` ${percent(Math.exp(best.logprob))}`),
    ];
  }

  /** @param {Step | undefined} step */
  function sayMeasures(step) {
    const reading = step && !step.is_bos ? step.saes[state.sae] : null;
    const analysers = state.hello?.analysers ?? {};
    const found = step?.analyses ?? {};
    const names = new Set([...Object.keys(analysers), ...Object.keys(found)]);
    measures.replaceChildren(
      measure('L0', reading ? String(reading.l0) : '–', 'How many features are active at this token'),
      measure(
        'unexplained',
        percent(reading?.unexplained),
        'Share of the model’s activity here that the SAE does not reproduce',
      ),
      ...[...names].map((name) => {
        const value = analysis(found[name], analysers[name]);
        return measure(name, value, `${name}: ${value}\n${analysers[name]?.about ?? 'No plugin says what this is.'}`);
      }),
    );
  }

  /**
   * @param {ReturnType<typeof makeRow>} row
   * @param {ActiveFeature | undefined} active
   * @param {number} rank
   * @param {number} strongest
   */
  function fill(row, active, rank, strongest) {
    row.item.hidden = !active;
    if (!active) return;
    const { feature, activation, effect, label, label_state } = active;
    row.button.dataset.feature = String(feature);
    row.button.classList.toggle('selected', state.feature?.sae === state.sae && state.feature.feature === feature);
    row.button.classList.toggle('pointed', state.hover === feature);
    const automatic = isAutomatic(label, label_state);
    row.button.classList.toggle('unlabelled', !label);
    row.button.classList.toggle('automatic', automatic);
    setText(row.rank, String(rank + 1));
    setText(row.name, featureName(feature, label, label_state));
    setText(row.activation, number(activation));
    row.bar.style.width = `${(100 * activation) / (strongest || 1)}%`;
    row.bar.style.background = css(activationColor(activation / (strongest || 1), theme()));
    setText(
      row.effect,
      effect === null || Math.abs(effect) < 0.005 ? '' : `${effect > 0 ? '+' : '−'}${number(Math.abs(effect))}`,
    );
    const direct = effect === null ? '' : ` · direct effect on the next token's logit ${number(effect)}`;
    const how = automatic ? ` (${NO_DESCRIPTION})` : '';
    row.button.title = `feature ${feature}${how} · activation ${number(activation)}${direct}`;
  }
}

/** @param {string} name @param {string} value @param {string} title */
const measure = (name, value, title) => el('div', { title }, el('dt', {}, name), el('dd', {}, value));

function makeRow() {
  const rank = el('span', { className: 'rank' });
  const name = el('span', { className: 'name' });
  const effect = el('span', { className: 'effect' });
  const activation = el('span', { className: 'activation' });
  const bar = el('i');
  const button = el(
    'button',
    { type: 'button' },
    rank,
    name,
    effect,
    activation,
    el('span', { className: 'bar' }, bar),
  );
  return { item: el('li', {}, button), button, rank, name, effect, activation, bar };
}
