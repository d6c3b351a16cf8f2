// @ts-check
// Getting all labels of the SAE on screen: the size is asked for and shown first, then come progress, and the end.

import { el, refill } from '../dom.js';
import { asRecord } from '../actions.js';
import { offerSentence } from '../label-words.js';
import { progressOf } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { ErrorRecord, LabelOffer, LabelSet } from '../types.js' */

/** @type {Record<string, string>} */
const BUSY = { listing: 'Asking which files there are …', importing: 'Taking the labels in …' };

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function gettingPart(state, actions) {
  const home = el('div', { className: 'getting' });
  const bar = el('progress', { 'aria-label': 'Getting labels' });
  const stage = el('small', { role: 'status' });
  const cancel = button('cancel-labels', 'Cancel', () => void attempt(actions.cancelLabels()));
  const progress = [bar, el('div', { className: 'doing' }, stage, cancel)];
  /** @type {LabelOffer | 'asking' | null} */
  let offer = null;
  let offered = ''; // the SAE of the offer
  /** @type {ErrorRecord | null} */
  let failure = null;

  async function ask() {
    const sae = (offered = state.sae);
    offer = 'asking';
    failure = null;
    draw();
    try {
      const answer = await actions.labelOffer(sae);
      if (offered === sae && offer === 'asking') offer = answer;
    } catch (error) {
      if (offered === sae) fail(error);
    }
    draw();
  }

  function get() {
    offer = null;
    failure = null;
    void attempt(actions.getLabels(state.sae));
  }

  /** @param {Promise<unknown>} call */
  async function attempt(call) {
    try {
      await call;
    } catch (error) {
      fail(error);
    }
    draw();
  }

  /** @param {unknown} error */
  function fail(error) {
    failure = asRecord(error);
    offer = null;
  }

  function draw() {
    if (offered !== state.sae) [offer, failure, offered] = [null, null, state.sae];
    const set = state.labelSet;
    if (!set || set.set === null) return home.replaceChildren();
    const { download } = set;
    if (['listing', 'downloading', 'importing'].includes(download.state)) return drawProgress(set);
    const wrong = failure ?? (download.state === 'failed' && !offer ? download.error : null);
    refill(home, ...(wrong ? failed(wrong) : []), ...(wrong || offer ? [] : ended(set)), ...next(set, wrong));
  }

  /** @param {LabelSet} set */
  function drawProgress({ download: { state: doing, done, total } }) {
    if (bar.parentNode !== home) {
      const focused = home.contains(document.activeElement);
      home.replaceChildren(...progress); // kept, so that the button keeps the focus
      if (focused) cancel.focus();
      offer = null; // it was taken, or another window took it
    }
    if (doing === 'downloading' && total) {
      bar.max = total;
      bar.value = done;
    } else bar.removeAttribute('value');
    stage.textContent = BUSY[doing] ?? progressOf(done, total);
  }

  /** @param {ErrorRecord} error */
  const failed = ({ message, hint }) => [
    el('p', { className: 'complaint', role: 'alert' }, message, hint ? el('span', {}, ` ${hint}`) : ''),
  ];

  /** How the last fetching ended. @param {LabelSet} set */
  function ended({ download }) {
    const words = {
      done: 'All labels are here now.',
      cancelled: 'Stopped. What was fetched is kept for the next time.',
    };
    const said = words[/** @type {keyof typeof words} */ (download.state)];
    return said ? [el('small', { role: 'status' }, said)] : [];
  }

  /** What the user can do now. @param {LabelSet} set @param {ErrorRecord | null} wrong */
  function next({ offline, blocked, complete }, wrong) {
    const why = offline ? 'The network is switched off: nothing can be fetched.' : blocked;
    if (offer && offer !== 'asking') {
      const wanted = offer.new_files > 0 || !complete;
      return [
        el('p', { className: 'offer', role: 'status' }, offerSentence(offer)),
        wanted ? el('div', { className: 'buttons' }, button('download-labels', 'Download', get, 'small primary')) : '',
      ];
    }
    const text = wrong ? 'Try again' : complete ? 'Look for new labels …' : 'Get all labels …';
    const start = button('get-labels', offer ? 'Asking for the size …' : text, () => offer || void ask());
    start.disabled = Boolean(why);
    if (offer) start.setAttribute('aria-disabled', 'true');
    return [el('div', { className: 'buttons' }, start, why ? el('small', {}, why) : '')];
  }

  return {
    element: home,
    draw,
    forgetOffer() {
      if (offer !== 'asking') offer = null;
    },
  };
}

/** @param {string} id @param {string} text @param {() => void} onclick @param {string} [className] */
const button = (id, text, onclick, className = 'small') =>
  el('button', { type: 'button', id, className, onclick }, text);
