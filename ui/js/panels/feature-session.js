// @ts-check
// The inspector's part about the session on screen: where the feature fired up to the cursor, and what fired with it.

import { el, setText } from '../dom.js';
import { firedTogether } from '../cofiring.js';
import { activationColor, css, ground } from '../color.js';
import { firingsUpTo, tokensUpTo } from '../firings.js';
import { nameClass } from '../label-words.js';
import { firstPosition } from '../session.js';
import { theme } from '../theme.js';
import { counted, featureName, number, visible } from '../words.js';

/** @import { Partner } from '../cofiring.js' */
/** @import { Firings } from '../firings.js' */
/** @import { Names, Session } from '../session.js' */
/** @import { State } from '../state.js' */
/** @import { Name, Step } from '../types.js' */

const SNIPPETS = 6; // places shown where it fired
const AROUND = 4; // tokens before and after each
const PARTNERS = 8;
const BARS = 120; // of the sparkline

/**
 * @param {State} state
 * @param {string} sae
 * @param {number} feature
 */
export function inSession({ session, t }, sae, feature) {
  if (!session) return [];
  if (session.start && !session.start.saes.includes(sae)) {
    return [el('h3', {}, 'In this session'), el('p', { className: 'aside' }, `It was read without ${sae}.`)];
  }
  return [...fired(session, sae, feature, t), ...together(session.steps, sae, feature, t)];
}

/** @param {Session} session @param {string} sae @param {number} feature @param {number} t */
function fired(session, sae, feature, t) {
  const { steps } = session;
  const firings = firingsUpTo(steps, sae, feature, t);
  const { places, activations } = firings;
  const strongest = Math.max(...activations, 0);
  const best = places.map((place, i) => ({ place, activation: activations[i] }));
  best.sort((x, y) => y.activation - x.activation);
  const tokens = tokensUpTo(steps, t);
  const from = firstPosition(session);
  return [
    el(
      'h3',
      {},
      'In this session',
      el('small', {}, `${counted(places.length, 'time')} in ${counted(tokens, 'token')}`),
    ),
    ...(places.length
      ? [sparkline(firings, from, tokens, strongest)]
      : [el('p', { className: 'aside' }, 'It has not fired up to the cursor, or not among the strongest of a token.')]),
    ...best.slice(0, SNIPPETS).map(({ place, activation }) => {
      const around = steps.slice(Math.max(from, place - AROUND), Math.min(t, place + AROUND) + 1).filter(Boolean);
      return snippet(around, sae, feature, place, activation, strongest);
    }),
  ];
}

/**
 * The activation over the session so far; in a long one a bar is the strongest of several tokens.
 * @param {Firings} firings
 * @param {number} from        position of the first token
 * @param {number} tokens      how many there are
 * @param {number} strongest
 */
function sparkline({ places, activations }, from, tokens, strongest) {
  const each = Math.ceil(tokens / BARS);
  const shares = Array(Math.ceil(tokens / each)).fill(0);
  places.forEach((place, i) => {
    const bar = Math.floor((place - from) / each);
    shares[bar] = Math.max(shares[bar], activations[i] / strongest);
  });
  const bars = shares.map((share) => {
    const color = share ? css(activationColor(share, theme())) : 'var(--line)';
    return el('i', { style: `height:${Math.max(4, 100 * share)}%;background:${color}` });
  });
  return el(
    'div',
    {
      className: 'sparkline',
      role: 'img',
      'aria-label': `Activation over ${counted(tokens, 'token')}, strongest ${number(strongest)}`,
    },
    ...bars,
  );
}

/**
 * @param {Step[]} around   the tokens of the snippet
 * @param {string} sae
 * @param {number} feature
 * @param {number} place    where it fired
 * @param {number} activation
 * @param {number} strongest
 */
function snippet(around, sae, feature, place, activation, strongest) {
  const words = around.map((step) => {
    const here = step.saes[sae]?.features.find((active) => active.feature === feature);
    return shaded(step.piece, here ? here.activation / strongest : 0);
  });
  return el(
    'button',
    { type: 'button', className: 'snippet', 'data-go': place, title: 'Move the cursor here' },
    el('span', {}, ...words),
    el('small', {}, number(activation)),
  );
}

/**
 * A token on the color of its activation.
 * @param {string} piece
 * @param {number} share   of the strongest, 0..1
 */
export function shaded(piece, share) {
  const text = visible(piece);
  if (!share) return el('span', {}, text);
  const { background, strong } = ground(share, theme());
  return el('mark', { style: `background:${background}`, className: strong ? 'strong' : '' }, text);
}

/** @param {Step[]} steps @param {string} sae @param {number} feature @param {number} t */
function together(steps, sae, feature, t) {
  // Once together says nothing: nearly all pairs of a short session fired together once.
  const { partners } = firedTogether(steps, sae, feature, t, 2, PARTNERS);
  if (!partners.length) return [];
  return [el('h3', {}, 'Fired together with', el('small', {}, 'times · lift')), ...partners.map(partnerRow)];
}

/** @param {Partner} partner */
function partnerRow(partner) {
  const { feature, count, lift } = partner;
  const title = `${counted(count, 'token')} together, ${number(lift)} times as often as their own rates predict`;
  const name = el('span');
  write(name, feature, partner);
  return el(
    'button',
    { type: 'button', className: 'partner', 'data-other': feature, title },
    name,
    el('small', {}, `${count} · ${number(lift)}×`),
  );
}

/**
 * Writes new names beside the counts, which stay.
 * @param {HTMLElement} home
 * @param {Names} names
 */
export function renamePartners(home, names) {
  for (const row of /** @type {NodeListOf<HTMLElement>} */ (home.querySelectorAll('[data-other]'))) {
    const feature = Number(row.dataset.other);
    const name = names.get(feature);
    if (name) write(/** @type {HTMLElement} */ (row.firstElementChild), feature, name);
  }
}

/** @param {HTMLElement} element @param {number} feature @param {Pick<Name, 'label' | 'label_state'>} name */
function write(element, feature, { label, label_state }) {
  element.className = nameClass(label, label_state);
  setText(element, featureName(feature, label, label_state));
}
