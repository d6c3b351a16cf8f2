// @ts-check
// The inspector: what a feature is said to mean, by whom and how sure, what it did in this session so far, and what else
// is known of it. Each part is drawn by itself, so that a token or a name that arrives takes nothing away under the hand.

import { $, el, icon, refill } from '../dom.js';
import { asRecord } from '../actions.js';
import { nameClass } from '../label-words.js';
import { nameIn } from '../session.js';
import { featureName, hookName } from '../words.js';
import { detailsOf } from './feature-details.js';
import { labelsOf, standingOf, worthOfLabel } from './feature-labels.js';
import { ownPart } from './feature-own.js';
import { elsewhere } from './feature-elsewhere.js';
import { inSession, renamePartners } from './feature-session.js';
import { steerPart } from './steering.js';

/** @import { Actions } from '../actions.js' */
/** @import { Mark } from '../marks.js' */
/** @import { State } from '../state.js' */
/** @import { ErrorRecord, FeatureRecord, Name } from '../types.js' */

const NOTHING = 'Click a dot or a feature in the list to see what it stands for and where it fired.';

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function featurePanel(state, actions) {
  const pane = $('feature');
  pane.tabIndex = -1;
  const header = el('header');
  const worth = el('div');
  const session = el('div');
  const others = el('div');
  const details = el('div');
  const own = ownPart(actions, take);
  const steer = steerPart(state);
  /** @type {FeatureRecord | null} */
  let record = null;
  /** @type {ErrorRecord | null} */
  let failure = null;

  state.on('feature', () => {
    document.body.classList.toggle('inspecting', state.feature !== null);
    record = null;
    failure = null;
    own.show(null);
    refill(others);
    draw();
    pane.scrollTop = 0;
    void ask();
    void askElsewhere();
  });
  state.on('known', () => void ask());
  state.on(['label_set', 'marks'], drawKnown);
  state.on('names', () => {
    if (!state.feature) return;
    renamePartners(session, state.names.get(state.feature.sae) ?? new Map());
    if (!record) drawKnown();
  });
  state.on('theme', draw);
  state.on(['session', 'steps', 'cursor'], drawSession);

  async function askElsewhere() {
    const asked = state.feature;
    if (!asked) return;
    const { firings } = await actions.firings(asked.sae, asked.feature).catch(() => ({ firings: [] }));
    if (state.feature === asked) {
      refill(others, ...elsewhere(firings, state.session?.uid, (uid, position) => void actions.open(uid, position)));
    }
  }
  state.on('session', () => void askElsewhere());

  async function ask() {
    const asked = state.feature;
    if (!asked) return;
    try {
      const answer = await actions.feature(asked.sae, asked.feature);
      if (state.feature === asked) take(answer);
    } catch (error) {
      if (state.feature !== asked) return;
      failure = asRecord(error);
      drawKnown();
    }
  }

  /** @param {FeatureRecord} answer */
  function take(answer) {
    if (answer.sae !== state.feature?.sae || answer.feature !== state.feature.feature) return;
    record = answer;
    failure = null;
    own.show(record);
    drawKnown();
  }

  async function retry() {
    try {
      await actions.retryLabels();
    } catch (error) {
      failure = asRecord(error);
    }
    await ask();
  }

  pane.addEventListener('click', (/** @type {any} */ event) => {
    const place = event.target.closest('[data-go]');
    if (place) state.moveTo(Number(place.dataset.go));
    const other = event.target.closest('[data-other]');
    if (other) state.inspect(Number(other.dataset.other), state.feature?.sae);
  });
  pane.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Escape' && !state.running) state.inspect(null);
  });

  function draw() {
    if (!state.feature) {
      pane.removeAttribute('data-feature');
      pane.replaceChildren(el('p', { className: 'hint' }, NOTHING));
      return;
    }
    pane.dataset.feature = String(state.feature.feature);
    if (header.parentNode !== pane) pane.replaceChildren(header, worth, own.element, steer, session, others, details);
    drawKnown();
    drawSession();
  }

  /** What the program knows of the feature. */
  function drawKnown() {
    if (!state.feature) return;
    const { sae, feature } = state.feature;
    refill(header, ...heading(sae, feature));
    refill(
      worth,
      ...(failure ? [el('p', { className: 'notice error' }, failure.message, ' ', failure.hint)] : []),
      ...(record ? [...worthOfLabel(record), ...standingOf(record, state.labelSets.get(sae), retry)] : []),
    );
    refill(details, ...(record ? [...labelsOf(record), ...detailsOf(record), neuronpedia(record)] : []));
  }

  function drawSession() {
    if (state.feature) refill(session, ...inSession(state, state.feature.sae, state.feature.feature));
  }

  /** @param {string} sae @param {number} feature */
  function heading(sae, feature) {
    const hook = record?.hook || state.saeOf(sae)?.hook || sae;
    const { label, label_state } = nameOf(sae, feature);
    const name = label === undefined ? `feature ${feature}` : featureName(feature, label, label_state);
    return [
      el(
        'div',
        {},
        // A label longer than the lines that are shown can be scrolled.
        el(
          'h2',
          { className: nameClass(label ?? null, label_state), tabIndex: name.length > 90 ? 0 : undefined },
          name,
        ),
        el('p', { className: 'muted', title: `${sae}, ${hook}` }, `feature ${feature} · ${hookName(hook)}`),
      ),
      marking('pinned', 'pin', 'pin-feature', 'Pin: always named, with a row over the tokens (P)'),
      marking('muted', 'mute', 'mute-feature', 'Mute: not drawn, not listed (M)'),
      el(
        'button',
        {
          type: 'button',
          id: 'close-feature',
          className: 'quiet',
          'aria-label': 'Close the inspector',
          title: 'Close',
          onclick: () => state.inspect(null),
        },
        icon('close'),
      ),
    ];
  }

  /** @param {Mark} mark @param {string} drawing @param {string} id @param {string} title */
  function marking(mark, drawing, id, title) {
    const { sae, feature } = state.feature ?? { sae: '', feature: 0 };
    const pressed = String(state.marks.has(mark, sae, feature));
    const onclick = () => state.mark(mark, { sae, feature });
    const props = {
      type: 'button',
      className: 'quiet',
      id,
      title,
      'aria-label': title,
      'aria-pressed': pressed,
      onclick,
    };
    return el('button', props, icon(drawing));
  }

  /**
   * What the feature is called, as far as the page knows.
   * @param {string} sae
   * @param {number} feature
   * @returns {Pick<FeatureRecord, 'label_state'> & {label?: string | null}}
   */
  function nameOf(sae, feature) {
    if (record) return { label: record.label?.text ?? null, label_state: record.label_state };
    /** @type {Name | null | undefined} */
    const name = state.names.get(sae)?.get(feature) ?? nameIn(state.session, sae, feature);
    return name ?? { label_state: 'unlabelled' };
  }

  /** @param {FeatureRecord} known */
  function neuronpedia({ neuronpedia_url: url }) {
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
