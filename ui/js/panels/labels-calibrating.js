// @ts-check
// Calibrating the SAE on screen: on the texts of all sessions, or on text files of the user's; how far it is, and what was
// measured last.

import { asRecord } from '../actions.js';
import { el, refill } from '../dom.js';
import { textsOf } from '../texts.js';
import { counted, number } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { Calibration, ErrorRecord } from '../types.js' */

const GOING_ON = ['loading', 'reading', 'looking'];

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function calibratingPart(state, actions) {
  const home = el(
    'details',
    { className: 'calibrating', id: 'calibrating' },
    el('summary', {}, 'Calibration'),
    el('div'),
  );
  const body = home.lastElementChild;
  const files = el('input', {
    type: 'file',
    id: 'calibration-files',
    multiple: true,
    accept: '.txt,.md',
    hidden: true,
  });
  home.append(files);
  /** @type {Calibration | null} */
  let known = null;
  /** @type {ErrorRecord | null} */
  let failure = null;

  files.addEventListener('change', async () => {
    const chosen = [...(files.files ?? [])];
    files.value = '';
    if (!chosen.length) return;
    await attempt(async () => actions.calibrate(state.sae, 'texts', await textsOf(chosen, 'axon-shell calibrate')));
  });
  home.addEventListener('toggle', () => home.open && void ask());
  state.on('calibration', () => home.open && void ask());

  async function ask() {
    const sae = state.sae;
    if (!sae) return;
    try {
      const answer = await actions.calibration(sae);
      if (sae !== state.sae) return;
      known = answer;
      draw();
    } catch (error) {
      fail(asRecord(error));
    }
  }

  /** @param {() => Promise<unknown>} act */
  async function attempt(act) {
    failure = null;
    try {
      await act();
      await ask();
    } catch (error) {
      fail(asRecord(error));
    }
  }

  /** @param {ErrorRecord} error */
  function fail(error) {
    failure = error;
    draw();
  }

  function draw() {
    if (known?.sae !== state.sae) known = null;
    const now = known?.now && GOING_ON.includes(known.now.state) ? known.now : null;
    const failed = failure ?? (known?.now?.state === 'failed' ? known.now.error : null);
    refill(
      body,
      el('p', {}, known ? sentence(known) : 'Looking …'),
      ...(failed ? [el('p', { className: 'complaint' }, failed.message, ' ', el('span', {}, failed.hint))] : []),
      ...(now ? progress(now) : [el('div', { className: 'buttons' }, ...offers())]),
    );
  }

  function offers() {
    const busy = Boolean(known?.busy);
    return [
      button('calibrate-sessions', 'On the texts of my sessions', busy, () =>
        attempt(() => actions.calibrate(state.sae, 'sessions')),
      ),
      button('calibrate-files', 'On text files …', busy, () => files.click()),
      ...(known?.kept
        ? [
            button('calibrate-resume', `Go on (${counted(known.kept.tokens, 'token')} are counted)`, busy, () =>
              attempt(() => actions.resumeCalibration(state.sae)),
            ),
          ]
        : []),
    ];
  }

  /** @param {NonNullable<Calibration['now']>} now */
  function progress(now) {
    const bar = el('progress', { 'aria-label': 'Calibrating', max: now.of || 1 });
    if (now.tokens !== undefined) bar.value = now.tokens;
    const speed = now.tokens_per_second ? `, ${number(now.tokens_per_second)} tokens/s` : '';
    const said = now.state === 'looking' ? 'looking at what was counted' : `${counted(now.tokens ?? 0, 'token')} read`;
    return [
      bar,
      el(
        'div',
        { className: 'doing' },
        el('small', { role: 'status' }, `${now.state === 'loading' ? 'loading' : said}${speed}`),
        button('calibrate-cancel', 'Cancel', false, () => attempt(() => actions.cancelCalibration())),
      ),
    ];
  }

  return {
    element: home,
    /** Another SAE is on screen. */
    draw() {
      if (!home.open) return;
      if (known?.sae !== state.sae) void ask();
      draw();
    },
  };
}

/** What is known of an SAE by measurement. @param {Calibration} known */
function sentence({ calibration, origin }) {
  if (!calibration) {
    return 'Not calibrated: how often features fire in text at large is not known, nor what they fire on.';
  }
  const { tokens, corpus, pairs, pairs_by_chance, score, chance } = calibration;
  const how = `${origin?.[0]?.toUpperCase() ?? ''}${origin?.slice(1) ?? ''}`;
  const scored =
    score === null || chance === null
      ? ''
      : ` Labels by tokens: balanced accuracy ${number(score)}, those of other features ${number(chance)}.`;
  return `${how} on ${counted(tokens, 'token')} of ${corpus}: ${counted(pairs, 'pair')} fire together beyond chance, about ${number(pairs_by_chance)} would by chance.${scored}`;
}

/** @param {string} id @param {string} text @param {boolean} disabled @param {() => void} onclick */
const button = (id, text, disabled, onclick) =>
  el('button', { type: 'button', className: 'small', id, disabled, onclick }, text);
