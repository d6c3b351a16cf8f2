// @ts-check
// Steering: features that are boosted, held or removed in the next run. Set up in the inspector, listed under the prompt,
// tried on the session on screen: the same prompt and seed once more, and both side by side.

import { $, el, icon, refill } from '../dom.js';
import { isTransient, nameIn } from '../session.js';
import { counted, featureName } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State, Steer } from '../state.js' */

/** @type {Record<Steer['kind'], {name: string, does: string}>} */
const KINDS = {
  add: { name: 'boost', does: 'adds so many times its known maximum, wherever it fires or not; below 0 against it' },
  set: { name: 'hold', does: 'holds its activation at so many times its known maximum' },
  ablate: { name: 'remove', does: 'takes it out' },
};

/**
 * The inspector's part: what to do with the feature.
 * @param {State} state
 */
export function steerPart(state) {
  const kind = el(
    'select',
    { id: 'steer-kind', 'aria-label': 'What to do with it' },
    ...Object.entries(KINDS).map(([value, { name }]) => el('option', { value }, name)),
  );
  const times = el('input', {
    type: 'range',
    id: 'steer-times',
    min: '-4',
    max: '4',
    step: '0.25',
    value: '2',
    'aria-label': 'How strongly, in maxima of the feature',
  });
  const said = el('output', { for: 'steer-times' });
  const from = el(
    'select',
    { id: 'steer-from', 'aria-label': 'From where on' },
    el('option', { value: 'start' }, 'from the first token on'),
    el('option', { value: 'cursor' }, 'from the cursor on'),
  );
  const about = el('p', { className: 'aside' });
  const add = el('button', { type: 'button', className: 'small', id: 'steer' }, 'Steer the next run');
  const element = el(
    'details',
    { className: 'steer', id: 'steer-part' },
    el('summary', {}, 'Steer with it'),
    el('div', { className: 'buttons' }, kind, from),
    el('div', { className: 'strength' }, times, said),
    about,
    el('div', { className: 'buttons' }, add),
  );

  function say() {
    const chosen = /** @type {Steer['kind']} */ (kind.value);
    times.parentElement.hidden = chosen === 'ablate';
    times.min = chosen === 'set' ? '0' : '-4';
    times.style.setProperty('--share', String((Number(times.value) - Number(times.min)) / (4 - Number(times.min))));
    said.textContent = `${times.value} ×`;
    about.textContent = `${KINDS[chosen].does}.`;
  }
  kind.addEventListener('change', say);
  times.addEventListener('input', say);
  say();
  add.addEventListener('click', () => {
    if (!state.feature) return;
    const { sae, feature } = state.feature;
    const start = from.value === 'cursor' ? Math.max(0, state.t) : 0;
    const name = $('feature').querySelector('h2').textContent;
    state.steer({
      ...{ sae, feature, name, start },
      kind: kind.value,
      times: kind.value === 'ablate' ? 0 : Number(times.value),
    });
  });
  return element;
}

/**
 * The list under the prompt.
 * @param {State} state
 * @param {Actions} actions
 * @param {{open(a: string, b: string): void}} comparison
 */
export function steeringPanel(state, actions, comparison) {
  const home = $('steering');
  let waited = ''; // the session without, while the one with is written

  state.on(['steering', 'session', 'names', 'running'], draw);
  state.on('running', () => {
    const { session } = state;
    if (!waited || state.running || !session?.end) return;
    const without = waited;
    waited = '';
    if (session.start?.edits?.length && session.uid !== without) comparison.open(without, session.uid);
  });
  state.on('failure', () => state.failure && (waited = ''));

  function draw() {
    const { steers, session } = state;
    const ran = session?.start?.edits ?? [];
    home.hidden = !steers.length && !ran.length;
    if (home.hidden) return home.replaceChildren();
    const start = session?.start;
    const fits = start && !isTransient(session) && session.end && steers.every(({ sae }) => start.saes.includes(sae));
    const run = el(
      'button',
      {
        type: 'button',
        className: 'plain',
        id: 'steer-this',
        disabled: !fits || state.running,
        title: fits
          ? 'The prompt, settings and seed of the session on screen, once more with this; then both side by side'
          : 'The session on screen must have ended, and have been read by the same SAEs',
        onclick: steerThis,
      },
      'Run this session again, steered',
    );
    refill(
      home,
      ...(ran.length && !steers.length ? [el('span', {}, 'This session is steered:'), ...ran.map(ranChip)] : []),
      ...(steers.length
        ? [
            el('span', {}, 'Steering the next run:'),
            ...steers.map(chip),
            run,
            el(
              'button',
              { type: 'button', className: 'plain', id: 'steer-none', onclick: () => state.steerNoMore() },
              'No steering',
            ),
          ]
        : []),
    );
  }

  /** @param {Steer} steer @param {number} i */
  function chip(steer, i) {
    return el(
      'span',
      { className: 'edit' },
      says(steer),
      el(
        'button',
        {
          type: 'button',
          className: 'quiet',
          'data-drop': i,
          'aria-label': `No longer: ${says(steer)}`,
          onclick: () => state.steerNoMore(i),
        },
        icon('close'),
      ),
    );
  }

  /** @param {import('../types.js').Edit} edit */
  const ranChip = ({ sae, feature, kind, value, start }) =>
    el(
      'span',
      { className: 'edit' },
      saying(
        kind,
        kind === 'ablate' ? '' : `${value > 0 && kind === 'add' ? '+' : ''}${value.toFixed(1)}`,
        called(sae, feature),
        start,
      ),
    );

  /** @param {Steer} steer */
  const says = ({ name, kind, times, start }) =>
    saying(kind, kind === 'ablate' ? '' : `${times > 0 && kind === 'add' ? '+' : ''}${times} ×`, name, start);

  /** What a feature is called here. @param {string} sae @param {number} feature */
  function called(sae, feature) {
    const name = state.names.get(sae)?.get(feature) ?? nameIn(state.session, sae, feature);
    return featureName(feature, name?.label ?? null, name?.label_state);
  }

  /** @param {Steer['kind']} kind @param {string} much @param {string} name @param {number} start */
  const saying = (kind, much, name, start) =>
    [KINDS[kind].name, much, name, start ? `from token ${start} on` : ''].filter(Boolean).join(' ');

  /** The session on screen once more, steered. */
  function steerThis() {
    const { session, steers } = state;
    if (!session?.start) return;
    waited = session.uid;
    const { prompt, settings, model, saes } = session.start;
    state.choose(model, saes);
    const position = Math.max(0, Math.min(...steers.map(({ start }) => start)));
    state.branch({
      session: session.uid,
      position,
      title: `${counted(steers.length, 'edit')} on “${prompt.slice(0, 30)}”`,
    });
    void actions.run(prompt, settings);
  }
}
