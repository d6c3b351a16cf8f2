// @ts-check
// What the program is loading or downloading, stage by stage, and what to do when that failed or must be fetched first.

import { $, el, icon } from '../dom.js';
import { progressOf } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function loadingPanel(state, actions) {
  const card = $('loading');
  const stages = el('ol');
  const bar = el('progress', { 'aria-label': 'Download' });
  const bytes = el('small');
  const download = el('div', { className: 'download' }, bar, bytes);
  const cancel = button('cancel', 'Cancel', () => void actions.cancel());
  const loading = [stages, download, cancel];

  state.on('engine', () => {
    const engine = state.engine;
    const failed = engine?.state === 'failed' && engine.error;
    card.hidden = engine?.state !== 'loading' && !failed;
    card.classList.toggle('failed', Boolean(failed));
    card.classList.toggle('needed', Boolean(failed && failed.kind === 'not_installed'));
    if (failed) {
      card.replaceChildren(
        el('b', {}, failed.message),
        failed.kind !== 'not_installed' && failed.hint ? el('span', {}, failed.hint) : '',
        el('div', { className: 'buttons' }, ...remedies(failed.kind)),
      );
    } else if (!card.hidden && engine) {
      if (stages.parentNode !== card) card.replaceChildren(...loading); // kept, so that the button keeps the focus
      const now = state.stages.length - 1;
      stages.replaceChildren(
        ...state.stages.map((stage, i) =>
          i < now
            ? el('li', {}, icon('check'), stage)
            : el('li', { className: 'now' }, el('i', { className: 'spinner' }), stage),
        ),
      );
      download.hidden = engine.total === null;
      bar.max = engine.total || 1;
      bar.value = engine.done ?? 0;
      bytes.textContent = progressOf(engine.done ?? 0, engine.total ?? 0);
    }
  });

  /** @param {string} kind  of the failure */
  function remedies(kind) {
    const licence = state.hello?.models.find((model) => model.id === state.model)?.licence;
    return [
      kind === 'gated' && licence ? button('licence', 'Open its page', () => void actions.openUrl(licence)) : '',
      kind === 'not_installed'
        ? button('download', 'Download', () => void actions.load(true))
        : button('retry', 'Try again', () => void actions.load(true)),
    ];
  }
}

/** @param {string} id @param {string} text @param {() => void} onclick */
const button = (id, text, onclick) => el('button', { type: 'button', id, onclick }, text);
