// @ts-check
// What the program is loading, stage by stage, and what to do when that failed.

import { $, el, icon } from '../dom.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function loadingPanel(state, actions) {
  const card = $('loading');

  state.on('engine', () => {
    const engine = state.engine;
    const failed = engine?.state === 'failed' && engine.error;
    card.hidden = engine?.state !== 'loading' && !failed;
    card.classList.toggle('failed', Boolean(failed));
    if (failed) {
      card.replaceChildren(
        el('b', {}, failed.message),
        failed.hint ? el('span', {}, failed.hint) : '',
        el('button', { type: 'button', id: 'retry', onclick: () => void actions.load() }, 'Try again'),
      );
    } else if (!card.hidden) {
      const now = state.stages.length - 1;
      card.replaceChildren(
        el(
          'ol',
          {},
          ...state.stages.map((stage, i) =>
            i < now
              ? el('li', {}, icon('check'), stage)
              : el('li', { className: 'now' }, el('i', { className: 'spinner' }), stage),
          ),
        ),
      );
    }
  });
}
