// @ts-check
// A card beside the token under the pointer: how probable it was, what else was, and what fired most at it. The same stands
// in the panel of the cursor, which the keyboard reaches.

import { $, el } from '../dom.js';
import { chances } from '../expected.js';
import { chanceRow } from '../shown.js';
import { analysis, featureName, number, percent, quoted } from '../words.js';

/** @import { State } from '../state.js' */
/** @import { Step } from '../types.js' */

const REST = 140; // ms over a token before its card is shown
const [SHOWN, FEATURES] = [6, 3];

/** @param {State} state */
export function tokenCard(state) {
  const strip = $('tokens');
  const card = $('token-card');
  let waiting = 0;

  strip.addEventListener('pointerover', (/** @type {any} */ event) => {
    clearTimeout(waiting);
    const token = event.target.closest('[data-position]');
    if (!token || event.pointerType === 'touch') return hide();
    waiting = window.setTimeout(() => show(token), card.hidden ? REST : 0);
  });
  strip.addEventListener('pointerleave', hide);
  strip.addEventListener('scroll', hide, { passive: true });
  state.on('session', hide);

  function hide() {
    clearTimeout(waiting);
    card.hidden = true;
  }

  /** @param {HTMLElement} token */
  function show(token) {
    const position = Number(token.dataset.position);
    const { steps } = state.session ?? { steps: [] };
    const step = steps[position];
    if (!step || !token.isConnected) return hide();
    card.replaceChildren(...content(step, steps[position - 1]));
    card.hidden = false;
    const box = token.getBoundingClientRect();
    const left = Math.min(
      Math.max(8, box.left + box.width / 2 - card.offsetWidth / 2),
      innerWidth - card.offsetWidth - 8,
    );
    card.style.transform = `translate(${left}px, ${box.top - card.offsetHeight - 8}px)`;
  }

  /** @param {Step} step @param {Step | undefined} before */
  function content(step, before) {
    if (step.is_bos) return [el('b', {}, 'Start of the text (BOS)')];
    const kind = step.is_prompt ? 'prompt token' : 'token';
    const chance = step.logprob === null ? '' : ` · probability ${percent(Math.exp(step.logprob))}`;
    const { rows } = chances(before, step);
    const shown = rows.filter((row, i) => i < SHOWN || row.came);
    const features = state.shown.flatMap((sae) => step.saes[sae]?.features.slice(0, FEATURES) ?? []);
    const analyses = Object.entries(step.analyses ?? {}).filter(([name]) => name !== 'surprise');
    return [
      el('b', {}, quoted(step.piece)),
      el('small', {}, `${kind} ${step.position}${chance}`),
      ...(shown.length
        ? [
            el('div', {}, 'Expected in its place'),
            el('ol', { className: 'chances' }, ...shown.map((row) => chanceRow(row))),
          ]
        : []),
      ...(features.length ? [el('div', {}, 'Strongest at it')] : []),
      ...features.map((one) =>
        el(
          'p',
          {},
          el('span', {}, featureName(one.feature, one.label, one.label_state)),
          el('small', {}, number(one.activation)),
        ),
      ),
      ...(analyses.length
        ? [
            el(
              'small',
              { className: 'analyses' },
              analyses.map(([name, value]) => `${name} ${analysis(value, state.hello?.analysers[name])}`).join(' · '),
            ),
          ]
        : []),
    ];
  }
}
