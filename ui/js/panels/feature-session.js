// @ts-check
// The inspector's part about the session on screen: where the feature fired up to the cursor, and what fired with it.

import { el, setText } from '../dom.js';
import { firedTogether } from '../cofiring.js';
import { activationColor, css, ground } from '../color.js';
import { nameClass } from '../label-words.js';
import { activationsOf, stepsUpTo } from '../session.js';
import { theme } from '../theme.js';
import { counted, featureName, number, visible } from '../words.js';

/** @import { Partner } from '../cofiring.js' */
/** @import { Names } from '../session.js' */
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
  const steps = stepsUpTo(session, t);
  return [...fired(steps, sae, feature), ...together(session.steps, sae, feature, t)];
}

/** @param {Step[]} steps @param {string} sae @param {number} feature */
function fired(steps, sae, feature) {
  const activations = activationsOf(steps, sae, feature);
  const strongest = Math.max(...activations, 0);
  const places = activations.map((activation, i) => ({ activation, i })).filter((place) => place.activation > 0);
  const best = places.sort((x, y) => y.activation - x.activation).slice(0, SNIPPETS);
  const times = `${counted(places.length, 'time')} in ${counted(steps.length, 'token')}`;
  return [
    el('h3', {}, 'In this session', el('small', {}, times)),
    ...(places.length
      ? [sparkline(steps, activations, strongest)]
      : [el('p', { className: 'aside' }, 'It has not fired up to the cursor, or not among the strongest of a token.')]),
    ...best.map((place) => snippet(steps, activations, place.i, strongest)),
  ];
}

/**
 * The activation over the session so far; in a long one a bar is the strongest of several tokens.
 * @param {Step[]} steps
 * @param {number[]} activations
 * @param {number} strongest
 */
function sparkline(steps, activations, strongest) {
  const each = Math.ceil(activations.length / BARS);
  const bars = Array.from({ length: Math.ceil(activations.length / (each || 1)) }, (_, i) => {
    const share = strongest ? Math.max(...activations.slice(i * each, (i + 1) * each)) / strongest : 0;
    const color = share ? css(activationColor(share, theme())) : 'var(--line)';
    return el('i', { style: `height:${Math.max(4, 100 * share)}%;background:${color}` });
  });
  return el(
    'div',
    {
      className: 'sparkline',
      role: 'img',
      'aria-label': `Activation over ${counted(steps.length, 'token')}, strongest ${number(strongest)}`,
    },
    ...bars,
  );
}

/** @param {Step[]} steps @param {number[]} activations @param {number} center @param {number} strongest */
function snippet(steps, activations, center, strongest) {
  const from = Math.max(0, center - AROUND);
  const words = steps
    .slice(from, center + AROUND + 1)
    .map((step, i) => shaded(step.piece, strongest ? activations[from + i] / strongest : 0));
  return el(
    'button',
    { type: 'button', className: 'snippet', 'data-go': steps[center].position, title: 'Move the cursor here' },
    el('span', {}, ...words),
    el('small', {}, number(activations[center])),
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
  const partners = firedTogether(steps, sae, feature, t).partners.filter((partner) => partner.count >= 2);
  if (!partners.length) return [];
  return [
    el('h3', {}, 'Fired together with', el('small', {}, 'times · lift')),
    ...partners.slice(0, PARTNERS).map(partnerRow),
  ];
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
