// @ts-check
// The inspector: what a feature is said to mean, by whom and how sure, and what it did in this session so far.

import { $, el, icon } from '../dom.js';
import { asRecord } from '../actions.js';
import { firedTogether } from '../cofiring.js';
import { activationColor, css, ground } from '../color.js';
import { activationsOf, stepsUpTo } from '../session.js';
import { theme } from '../theme.js';
import { counted, featureName, hookName, number, percent, visible } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { Partner } from '../cofiring.js' */
/** @import { State } from '../state.js' */
/** @import { ErrorRecord, FeatureRecord, Step } from '../types.js' */

const SNIPPETS = 6; // places shown where it fired
const AROUND = 4; // tokens before and after each
const PARTNERS = 8;
const BARS = 120; // of the sparkline

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function featurePanel(state, actions) {
  const pane = $('feature');
  pane.tabIndex = -1;
  /** @type {FeatureRecord | null} */
  let record = null;
  /** @type {ErrorRecord | null} */
  let failure = null;

  state.on('feature', async () => {
    const asked = state.feature;
    document.body.classList.toggle('inspecting', asked !== null);
    record = null;
    failure = null;
    draw();
    pane.scrollTop = 0;
    if (!asked) return;
    try {
      const answer = await actions.feature(asked.sae, asked.feature);
      if (state.feature === asked) record = answer;
    } catch (error) {
      if (state.feature === asked) failure = asRecord(error);
    }
    draw();
  });
  state.on(['session', 'steps', 'cursor', 'theme'], draw);

  pane.addEventListener('click', (/** @type {any} */ event) => {
    const place = event.target.closest('[data-go]');
    if (place) state.moveTo(Number(place.dataset.go));
    const other = event.target.closest('[data-other]');
    if (other) state.inspect(Number(other.dataset.other));
  });
  pane.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Escape' && !state.running) state.inspect(null);
  });

  function draw() {
    const selected = state.feature;
    if (!selected) {
      pane.removeAttribute('data-feature');
      pane.replaceChildren(
        el(
          'p',
          { className: 'hint' },
          'Click a dot or a feature in the list to see what it stands for and where it fired.',
        ),
      );
      return;
    }
    const { sae, feature } = selected;
    pane.dataset.feature = String(feature);
    const steps = state.session ? stepsUpTo(state.session, state.t) : [];
    pane.replaceChildren(
      heading(sae, feature),
      ...(failure ? [el('p', { className: 'notice error' }, failure.message, ' ', failure.hint)] : []),
      worth(),
      ...fired(steps, sae, feature),
      ...together(steps, sae, feature),
      ...about(),
      neuronpedia(),
    );
  }

  /** @param {string} sae @param {number} feature */
  function heading(sae, feature) {
    const hook = record?.hook || state.hello?.saes.find((one) => one.id === sae)?.hook || sae;
    const name = record ? featureName(feature, record.label?.text ?? null, record.label_state) : `feature ${feature}`;
    return el(
      'header',
      {},
      el(
        'div',
        {},
        el('h2', {}, name),
        el('p', { className: 'muted', title: `${sae}, ${hook}` }, `feature ${feature} · ${hookName(hook)}`),
      ),
      el(
        'button',
        {
          type: 'button',
          className: 'quiet',
          'aria-label': 'Close the inspector',
          title: 'Close',
          onclick: () => state.inspect(null),
        },
        icon('close'),
      ),
    );
  }

  /** The label's worth in one line: who says so, and how sure that is. */
  function worth() {
    if (!record) return '';
    const { label, statistics } = record;
    const score = label && label.score !== null ? `${label.score_name || 'score'} ${number(label.score)}` : '';
    const rate = statistics.density === undefined ? '' : `fires at ${percent(statistics.density)} of tokens`;
    return el(
      'p',
      { className: 'worth' },
      ...[label ? `says ${label.origin}` : '', score, rate].filter(Boolean).map((text) => el('span', {}, text)),
    );
  }

  /** All that is known of the label and the feature, whatever its source gave. */
  function about() {
    if (!record) return [];
    const { label, statistics } = record;
    /** @type {[string, string][]} */
    const facts = [];
    if (label) {
      facts.push(['method', label.method]);
      for (const [name, value] of Object.entries(label.details))
        facts.push([name, typeof value === 'number' ? number(value) : String(value)]);
    }
    if (statistics.max_activation !== undefined) facts.push(['strongest known', number(statistics.max_activation)]);
    facts.push(['SAE', record.sae], ['hook point', record.hook || 'unknown']);
    return [
      el('h3', {}, label ? 'About the label' : 'About the feature'),
      el('dl', { className: 'facts' }, ...facts.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
    ];
  }

  /** @param {Step[]} steps @param {string} sae @param {number} feature */
  function fired(steps, sae, feature) {
    const activations = activationsOf(steps, sae, feature);
    const strongest = Math.max(...activations, 0);
    const places = activations.map((activation, i) => ({ activation, i })).filter((place) => place.activation > 0);
    const best = places.sort((x, y) => y.activation - x.activation).slice(0, SNIPPETS);
    return [
      el(
        'h3',
        {},
        'In this session',
        el('small', {}, `${counted(places.length, 'time')} in ${counted(steps.length, 'token')}`),
      ),
      sparkline(steps, activations, strongest),
      ...best.map((place) => snippet(steps, activations, place.i, strongest)),
    ];
  }

  /**
   * The activation over the session so far; in a long one a bar is the strongest of several tokens.
   * @param {Step[]} steps
   * @param {number[]} activations
   * @param {number} strongest
   */
  function sparkline(steps, activations, strongest) {
    const each = Math.ceil(activations.length / BARS);
    const bars = Array.from({ length: Math.ceil(activations.length / (each || 1)) }, (_, i) => {
      const share = strongest ? Math.max(...activations.slice(i * each, (i + 1) * each)) / strongest : 0;
      const color = share ? css(activationColor(share, theme())) : 'var(--line)';
      return el('i', { style: `height:${Math.max(4, 100 * share)}%;background:${color}` });
    });
    return el(
      'div',
      {
        className: 'sparkline',
        role: 'img',
        'aria-label': `Activation over ${counted(steps.length, 'token')}, strongest ${number(strongest)}`,
      },
      ...bars,
    );
  }

  /** @param {Step[]} steps @param {number[]} activations @param {number} center @param {number} strongest */
  function snippet(steps, activations, center, strongest) {
    const from = Math.max(0, center - AROUND);
    const words = steps.slice(from, center + AROUND + 1).map((step, i) => {
      const share = strongest ? activations[from + i] / strongest : 0;
      const text = visible(step.piece);
      if (!share) return el('span', {}, text);
      const { background, strong } = ground(share, theme());
      return el('mark', { style: `background:${background}`, className: strong ? 'strong' : '' }, text);
    });
    return el(
      'button',
      { type: 'button', className: 'snippet', 'data-go': steps[center].position, title: 'Move the cursor here' },
      el('span', {}, ...words),
      el('small', {}, number(activations[center])),
    );
  }

  /** @param {Step[]} steps @param {string} sae @param {number} feature */
  function together(steps, sae, feature) {
    // Once together says nothing: nearly all pairs of a short session fired together once.
    const partners = firedTogether(steps, sae, feature).partners.filter((partner) => partner.count >= 2);
    if (!partners.length) return [];
    return [
      el('h3', {}, 'Fired together with', el('small', {}, 'times · lift')),
      ...partners.slice(0, PARTNERS).map(partnerRow),
    ];
  }

  /** @param {Partner} partner */
  function partnerRow({ feature, label, count, lift }) {
    const title = `${counted(count, 'token')} together, ${number(lift)} times as often as their own rates predict`;
    return el(
      'button',
      { type: 'button', className: 'partner', 'data-other': feature, title },
      el('span', {}, featureName(feature, label)),
      el('small', {}, `${count} · ${number(lift)}×`),
    );
  }

  function neuronpedia() {
    if (!record) return '';
    const url = record.neuronpedia_url;
    const reason = url ? '' : 'Neuronpedia has no page for this SAE';
    return el(
      'footer',
      {},
      el(
        'button',
        {
          type: 'button',
          id: 'neuronpedia',
          disabled: !url,
          title: reason || 'Opens in your browser',
          onclick: () => url && void actions.openUrl(url),
        },
        'Neuronpedia',
        icon('link'),
      ),
      reason ? el('small', {}, reason) : '',
    );
  }
}
