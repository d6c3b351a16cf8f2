// @ts-check
// What has just been done, in a few words, with a way back where there is one. It goes by itself.

import { $, el } from '../dom.js';

/** @import { State } from '../state.js' */

const STAYS = 12_000; // ms

/** @param {State} state */
export function saidPanel(state) {
  const place = $('said');
  let timer = 0;
  state.on('said', () => {
    clearTimeout(timer);
    const { said } = state;
    place.hidden = !said;
    if (!said) return;
    const { text, remedy } = said;
    place.replaceChildren(
      el('span', {}, text),
      ...(remedy ? [el('button', { type: 'button', id: 'undo', className: 'plain', onclick: done }, remedy.word)] : []),
    );
    timer = window.setTimeout(() => state.say(''), STAYS);

    function done() {
      state.say('');
      remedy?.act();
    }
  });
}
