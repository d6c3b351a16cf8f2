// @ts-check
// What the page asks of the program about labels: names that may have changed, whole label sets, search, the user's own.

import { quietly } from './bridge.js';
import { featuresOf } from './session.js';

/** @import { Call } from './bridge.js' */
/** @import { State } from './state.js' */
/** @import { FeatureRecord, Found, LabelOffer, Name, NamesEvent } from './types.js' */

const NAMES = 2000; // features a call

/**
 * @param {State} state
 * @param {Call} call
 */
export function createLabelActions(state, call) {
  // -- names -------------------------------------------------------------------------------------------------------

  /** @param {NamesEvent[]} events */
  function takeNames(events) {
    /** @type {Map<string, Record<string, Name>>} all of an SAE together: each renaming goes through all steps */
    const fresh = new Map();
    for (const { sae, labels } of events) {
      if (labels) fresh.set(sae, Object.assign(fresh.get(sae) ?? {}, labels));
      else void nameAgain(sae);
    }
    for (const [sae, labels] of fresh) state.rename(sae, labels);
  }

  /** Asks what the features on screen are called now. @param {string} sae */
  async function nameAgain(sae) {
    state.names.delete(sae);
    const { session, feature } = state;
    const features = new Set(session ? featuresOf(session, sae) : []);
    if (feature?.sae === sae) features.add(feature.feature);
    const asked = [...features];
    try {
      for (let i = 0; i < asked.length; i += NAMES) {
        const { labels } = await call('names', { sae, features: asked.slice(i, i + NAMES) });
        state.rename(sae, labels);
      }
      await labelSet(sae);
    } catch (error) {
      quietly(error);
    }
  }

  /** The same for all SAEs on screen. */
  function nameAll() {
    const saes = [...(state.session?.start?.saes ?? []), state.feature?.sae ?? ''];
    for (const sae of new Set(saes.filter(Boolean))) void nameAgain(sae);
  }

  // -- label sets --------------------------------------------------------------------------------------------------

  /** Asks how many labels of an SAE are here. @param {string} sae */
  async function labelSet(sae) {
    try {
      if (sae) state.takeLabelSet(await call('label_set', { sae }));
    } catch (error) {
      quietly(error);
    }
  }

  let askedOf = '';
  state.on(['choice', 'session'], () => {
    if (askedOf !== state.sae) void labelSet((askedOf = state.sae));
  });

  /** What it costs to get all labels of an SAE. @param {string} sae @returns {Promise<LabelOffer>} */
  const labelOffer = (sae) => call('label_offer', { sae });

  /** Begins to get all labels of an SAE; the progress comes as events. @param {string} sae */
  const getLabels = (sae) => call('get_labels', { sae });

  const cancelLabels = () => call('cancel_labels');

  /** Has the program ask for labels again, though it was not answered before. */
  const retryLabels = () => call('retry_labels');

  /**
   * @param {string} text
   * @param {string} sae   "" = all
   * @returns {Promise<{found: Found[], more: boolean}>}
   */
  const searchLabels = (text, sae) => call('search_labels', { text, sae });

  /**
   * Keeps the user's own label and note; an empty one is taken away.
   * @param {string} sae
   * @param {number} feature
   * @param {string} label
   * @param {string} note
   * @returns {Promise<FeatureRecord>}
   */
  const editLabel = (sae, feature, label, note) => call('edit_label', { sae, feature, label, note });

  /** @param {string} sae @returns {Promise<import('./types.js').Calibration>} */
  const calibration = (sae) => call('calibration', { sae });

  /** @param {string} sae @param {"sessions" | "texts"} source @param {string[]} [texts] */
  const calibrate = (sae, source, texts = []) => call('calibrate', { sae, source, texts });

  /** @param {string} sae */
  const resumeCalibration = (sae) => call('resume_calibration', { sae });

  const cancelCalibration = () => call('cancel_calibration');

  return {
    calibration,
    calibrate,
    resumeCalibration,
    cancelCalibration,
    takeNames,
    nameAll,
    labelSet,
    labelOffer,
    getLabels,
    cancelLabels,
    retryLabels,
    searchLabels,
    editLabel,
  };
}
