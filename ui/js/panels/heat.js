// @ts-check
// A row over the tokens for each pinned feature: where it fired, from the first token to the last, and how strongly.

import { $, el, setText } from '../dom.js';
import { activationColor, css } from '../color.js';
import { tokensUpTo } from '../firings.js';
import { nameClass } from '../label-words.js';
import { activationsOf, lastPosition, nameIn } from '../session.js';
import { theme } from '../theme.js';
import { counted, featureName, number, quoted } from '../words.js';

/** @import { FeatureId } from '../marks.js' */
/** @import { State } from '../state.js' */

const HEIGHT = 14; // of a row's picture, in CSS pixels

/** @param {State} state */
export function heatPanel(state) {
  const home = $('heat');
  const cursor = el('div', { className: 'cursor', 'aria-hidden': 'true' });
  const list = el('div', { className: 'rows' });
  home.append(list, cursor);
  let width = 0;

  /** The features that have a row. @returns {FeatureId[]} */
  const pinned = () => (state.session ? state.marks.of('pinned', state.session.start?.saes ?? []) : []);

  state.on(['session', 'steps', 'marks', 'theme', 'names', 'feature'], draw);
  state.on(['cursor', 'steps', 'session', 'marks'], moveCursor);
  new ResizeObserver(() => {
    if (list.clientWidth === width) return;
    width = list.clientWidth;
    draw();
    moveCursor();
  }).observe(home);

  home.addEventListener('pointerdown', (/** @type {any} */ event) => {
    const track = event.target.closest('canvas');
    if (!track || !state.session) return;
    const go = (/** @type {PointerEvent} */ { clientX }) => {
      const { left, width } = track.getBoundingClientRect();
      const count = lastPosition(/** @type {any} */ (state.session)) + 1;
      state.moveTo(Math.max(0, Math.min(count - 1, Math.floor(((clientX - left) / width) * count))));
    };
    go(event);
    track.setPointerCapture(event.pointerId);
    track.onpointermove = go;
    track.onpointerup = track.onpointercancel = () => (track.onpointermove = null);
  });
  home.addEventListener('click', (/** @type {any} */ event) => {
    const { sae, feature, unpin } = event.target.closest('button')?.dataset ?? {};
    if (unpin) state.mark('pinned', { sae, feature: Number(unpin) });
    else if (feature) state.inspect(Number(feature), sae);
  });

  function draw() {
    const ids = pinned();
    home.hidden = !ids.length;
    while (list.children.length > ids.length) list.lastElementChild?.remove();
    while (list.children.length < ids.length) list.append(makeRow());
    ids.forEach((id, i) => fill(/** @type {HTMLElement} */ (list.children[i]), id));
  }

  /** @param {HTMLElement} row @param {FeatureId} id */
  function fill(row, { sae, feature }) {
    const [name, track, unpin] = /** @type {any} */ (row).children;
    const steps = state.session?.steps ?? [];
    const known = state.names.get(sae)?.get(feature) ?? nameIn(state.session, sae, feature);
    const { label = null, label_state } = known ?? {};
    setText(name, featureName(feature, label, label_state));
    name.className = `name ${nameClass(label, label_state ?? 'unlabelled')}`;
    name.title = `feature ${feature} of ${sae}`;
    Object.assign(name.dataset, { sae, feature });
    name.setAttribute('aria-pressed', String(state.feature?.sae === sae && state.feature.feature === feature));
    Object.assign(unpin.dataset, { sae, unpin: feature });
    unpin.setAttribute('aria-label', `Unpin ${featureName(feature, label, label_state)}`);
    paint(track, activationsOf(steps, sae, feature));
  }

  /**
   * Fills a row's picture; where there are more tokens than pixels, a pixel is the strongest of its tokens.
   * @param {HTMLCanvasElement} track
   * @param {number[]} activations   by position
   */
  function paint(track, activations) {
    const strongest = activations.reduce((most, one) => Math.max(most, one), 0);
    const fired = activations.filter((one) => one > 0).length;
    const steps = state.session?.steps ?? [];
    const peak = steps[activations.indexOf(strongest)]?.piece ?? '';
    const where = fired ? `, strongest ${number(strongest)} at ${quoted(peak)}` : '';
    const said = `Fires at ${fired} of ${counted(tokensUpTo(steps, Infinity), 'token')}${where}`;
    track.setAttribute('aria-label', said);
    track.title = said;
    const scale = devicePixelRatio;
    const across = Math.max(1, Math.round(track.clientWidth * scale));
    if (track.width !== across) track.width = across;
    if (track.height !== HEIGHT * scale) track.height = HEIGHT * scale;
    const pen = /** @type {CanvasRenderingContext2D} */ (track.getContext('2d'));
    pen.clearRect(0, 0, track.width, track.height);
    if (!strongest) return;
    const each = across / activations.length;
    activations.forEach((activation, i) => {
      if (!activation) return;
      const share = activation / strongest;
      const height = Math.max(0.3, share) * track.height; // height too: color alone must not tell
      pen.fillStyle = css(activationColor(share, theme()));
      pen.fillRect(i * each, track.height - height, Math.max(1, each - (each > 4 ? 1 : 0)), height);
    });
  }

  function moveCursor() {
    const track = /** @type {HTMLElement | null} */ (list.querySelector('canvas'));
    if (home.hidden || !track || !state.session) return;
    const count = lastPosition(state.session) + 1;
    cursor.hidden = state.t < 0;
    const at = track.offsetLeft + ((state.t + 0.5) / Math.max(1, count)) * track.clientWidth;
    cursor.style.transform = `translateX(${at.toFixed(1)}px)`;
    cursor.style.height = `${list.clientHeight}px`;
  }
}

const makeRow = () =>
  el(
    'div',
    { className: 'heat-row' },
    el('button', { type: 'button' }),
    el('canvas', { role: 'img' }),
    el('button', { type: 'button', className: 'unpin', title: 'Unpin' }, '×'),
  );
