// @ts-check
// The inspector's part about other sessions: where else a feature fired, strongest first.

import { el } from '../dom.js';
import { number, quoted } from '../words.js';

/** @import { Firing } from '../types.js' */

/**
 * @param {Firing[]} firings
 * @param {string | undefined} here  uid of the session on screen
 * @param {(session: string, position: number) => void} open
 */
export function elsewhere(firings, here, open) {
  const others = firings.filter((one) => one.session !== here).slice(0, 6);
  if (!others.length) return [];
  return [
    el('h3', {}, 'In other sessions', el('small', {}, 'strongest first')),
    ...others.map((one) =>
      el(
        'button',
        {
          type: 'button',
          className: 'partner',
          'data-elsewhere': one.session,
          title: `${one.count} tokens; the strongest ${quoted(one.piece)}`,
          onclick: () => open(one.session, one.position),
        },
        el('span', {}, `${quoted(one.piece)} in ${one.title}`),
        el('small', {}, number(one.activation)),
      ),
    ),
  ];
}
