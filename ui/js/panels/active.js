// @ts-check
// The features that fire at the cursor: the graph's accessible twin. Of several SAEs on screen, each has a list.

import { $, el, icon, setText } from '../dom.js';
import { activationColor, css, layerColor } from '../color.js';
import { isAlwaysOn } from '../firings.js';
import { NO_DESCRIPTION, isAutomatic } from '../label-words.js';
import { listed } from '../listing.js';
import { readingAt, strongestUpTo } from '../session.js';
import { theme } from '../theme.js';
import { counted, featureName, number, percent, signed } from '../words.js';

/** @import { FeatureId, Mark } from '../marks.js' */
/** @import { Listing } from '../listing.js' */
/** @import { State } from '../state.js' */
/** @import { ActiveFeature, Reading } from '../types.js' */

/** @param {State} state */
export function activePanel(state) {
  const home = $('active');
  const count = $('active-count');
  const left = $('left-out');
  /** @type {HTMLInputElement} */
  const threshold = $('threshold');
  const thresholdText = /** @type {HTMLElement} */ (threshold.nextElementSibling);
  /** @type {HTMLInputElement} */
  const filter = $('filter');
  /** @type {HTMLSelectElement} */
  const sortBy = $('sort-by');
  const hideAlways = $('hide-always');
  /** @type {ReturnType<typeof makeList>[]} lists and rows are kept and refilled: at 100 tokens a second none is created */
  const lists = [];

  /** The feature that an event is about. @param {any} event @returns {FeatureId | null} */
  function idOf(event) {
    const button = event.target.closest('li')?.querySelector('[data-feature]');
    return button ? { sae: button.dataset.sae, feature: Number(button.dataset.feature) } : null;
  }
  home.addEventListener('click', (/** @type {any} */ event) => {
    const id = idOf(event);
    if (!id) return;
    const mark = /** @type {Mark | undefined} */ (event.target.closest('[data-mark]')?.dataset.mark);
    if (mark) state.mark(mark, id);
    else state.inspect(id.feature, id.sae);
  });
  home.addEventListener('pointerover', (/** @type {any} */ event) => {
    const id = idOf(event);
    state.point(id && id.feature, id?.sae);
  });
  home.addEventListener('pointerleave', () => state.point(null));
  home.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...home.querySelectorAll('li:not([hidden]) > [data-feature]')];
    const next = buttons[buttons.indexOf(/** @type {any} */ (document.activeElement)) + step];
    /** @type {HTMLElement | undefined} */ (next)?.focus();
  });
  threshold.addEventListener('input', () => state.listAbove(Number(threshold.value)));
  filter.addEventListener('input', () => state.listNamed(filter.value));
  filter.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown')
      /** @type {HTMLElement | null} */ (home.querySelector('li:not([hidden]) > button'))?.focus();
  });
  sortBy.addEventListener('change', () => state.look({ sortBy: sortBy.value }));
  hideAlways.addEventListener('click', () => state.look({ hideAlways: !state.view.hideAlways }));
  left.addEventListener('click', () => state.unmute());

  state.on(
    ['session', 'steps', 'cursor', 'choice', 'view', 'marks', 'feature', 'hover', 'theme', 'names', 'hello'],
    draw,
  );

  function draw() {
    const { session, shown, t, view } = state;
    sortBy.value = view.sortBy;
    hideAlways.setAttribute('aria-pressed', String(view.hideAlways));
    if (filter.value.trim() !== state.filter.trim()) filter.value = state.filter;
    drawThreshold(Math.max(...shown.map((sae) => strongestUpTo(session, sae, t))));
    const sums = { rows: 0, l0: 0, muted: 0, always: 0 };
    while (lists.length < shown.length) {
      const list = makeList();
      lists.push(list);
      home.append(list.heading, list.list);
    }
    lists.forEach((list, i) => {
      const reading = shown[i] ? readingAt(session, shown[i], t) : null;
      list.heading.hidden = shown.length < 2 || !reading;
      if (reading && shown.length > 1) head(list, shown[i], i, reading);
      const found = listOf(shown[i], reading);
      fillAll(list, found, shown[i]);
      sums.rows += found.rows.length;
      sums.l0 += session?.steps[t]?.is_bos ? 0 : (reading?.l0 ?? 0);
      sums.muted += found.muted;
      sums.always += found.always;
    });
    setText(count, sums.l0 ? shownOf(sums.rows, sums.l0) : '');
    const why = [sums.muted && `${sums.muted} muted`, sums.always && `${sums.always} always on`].filter(Boolean);
    const pieces = shown.flatMap((sae) => readingAt(session, sae, t)?.features ?? []).length;
    count.title = `Kept are the strongest ${pieces} of this token; how many, the sampling settings say.`;
    left.hidden = !why.length;
    left.disabled = !sums.muted;
    setText(left, `${why.join(', ')}${sums.muted ? ': unmute' : ' hidden'}`);
    home.classList.toggle('none', !sums.rows);
    setText($('none-listed'), sums.l0 && !sums.rows ? 'No feature here passes the filter.' : '');
  }

  /** @param {string} sae @param {Reading | null} reading @returns {Listing} */
  function listOf(sae, reading) {
    const steps = state.session?.steps ?? [];
    return listed(reading?.features ?? [], {
      above: state.threshold,
      filter: state.filter,
      sortBy: state.view.sortBy,
      always: state.view.hideAlways ? (feature) => isAlwaysOn(steps, sae, feature, state.t) : null,
      muted: (feature) => state.marks.has('muted', sae, feature),
    });
  }

  /** @param {number} strongest */
  function drawThreshold(strongest) {
    threshold.max = strongest ? (Math.ceil(strongest * 10) / 10).toFixed(1) : '1';
    threshold.value = String(state.threshold);
    threshold.style.setProperty('--share', String(state.threshold / Number(threshold.max)));
    setText(thresholdText, state.threshold ? number(state.threshold) : 'all');
  }

  /** @param {ReturnType<typeof makeList>} list @param {string} sae @param {number} i @param {Reading} reading */
  function head({ heading, swatch, title, facts }, sae, i, reading) {
    swatch.style.background = css(layerColor(i, theme()));
    setText(title, state.saeName(sae));
    setText(facts, `L0 ${reading.l0} · ${percent(reading.unexplained)} unexplained`);
    heading.title = sae;
  }

  /** @param {ReturnType<typeof makeList>} list @param {Listing} found @param {string} sae */
  function fillAll({ list, rows }, found, sae) {
    while (rows.length < found.rows.length) {
      rows.push(makeRow());
      list.append(rows[rows.length - 1].item);
    }
    const byEffect = state.view.sortBy === 'effect';
    const full = byEffect
      ? Math.max(...found.rows.map((active) => Math.abs(active.effect ?? 0)), 1e-9)
      : strongestUpTo(state.session, sae, state.t) || 1;
    rows.forEach((row, i) => fill(row, found.rows[i], i, sae, full));
  }

  /**
   * @param {ReturnType<typeof makeRow>} row
   * @param {ActiveFeature | undefined} active
   * @param {number} rank
   * @param {string} sae
   * @param {number} full   what a bar of full length stands for
   */
  function fill(row, active, rank, sae, full) {
    row.item.hidden = !active;
    if (!active) return;
    const { feature, activation, effect, label, label_state } = active;
    const is = (/** @type {FeatureId | null} */ id) => id?.sae === sae && id.feature === feature;
    const automatic = isAutomatic(label, label_state);
    const pinned = state.marks.has('pinned', sae, feature);
    const always = isAlwaysOn(state.session?.steps ?? [], sae, feature, state.t);
    row.button.dataset.feature = String(feature);
    row.button.dataset.sae = sae;
    for (const [name, on] of Object.entries({
      selected: is(state.feature),
      pointed: is(state.hover),
      unlabelled: !label,
      automatic,
      pinned,
      always,
    })) {
      row.button.classList.toggle(name, on);
    }
    row.button.setAttribute('aria-pressed', String(is(state.feature)));
    row.pin.setAttribute('aria-pressed', String(pinned));
    setText(row.rank, String(rank + 1));
    setText(row.name, featureName(feature, label, label_state));
    setText(row.activation, number(activation));
    const byEffect = state.view.sortBy === 'effect';
    row.bar.style.width = `${(100 * Math.abs(byEffect ? (effect ?? 0) : activation)) / full}%`;
    row.bar.style.background = byEffect
      ? `var(${(effect ?? 0) >= 0 ? '--accent' : '--link'})`
      : css(activationColor(activation / full, theme()));
    setText(row.effect, effect === null || Math.abs(effect) < 0.005 ? '' : signed(effect));
    const direct = effect === null ? '' : ` · direct effect on the next token's logit ${number(effect)}`;
    const how = automatic ? ` (${NO_DESCRIPTION})` : '';
    const often = always ? ' · fires at nearly every token so far' : '';
    row.button.title = `feature ${feature}${how} · activation ${number(activation)}${direct}${often}`;
  }

  return {
    /** The feature that the keyboard is on in the list. */
    focused: () => idOf({ target: document.activeElement ?? document.body }),
  };
}

/** @param {number} listed @param {number} l0 */
const shownOf = (listed, l0) => (listed < l0 ? `${listed} of ${counted(l0, 'feature')}` : counted(l0, 'feature'));

function makeList() {
  const swatch = el('i', { className: 'swatch' });
  const title = el('span');
  const facts = el('small');
  /** @type {ReturnType<typeof makeRow>[]} */
  const rows = [];
  return { heading: el('h3', {}, swatch, title, facts), swatch, title, facts, list: el('ol'), rows };
}

function makeRow() {
  const rank = el('span', { className: 'rank' });
  const name = el('span', { className: 'name' });
  const effect = el('span', { className: 'effect' });
  const activation = el('span', { className: 'activation' });
  const bar = el('i');
  const button = el(
    'button',
    { type: 'button' },
    rank,
    name,
    effect,
    activation,
    el('span', { className: 'bar' }, bar),
  );
  // For the mouse: on the keyboard P and M do the same, and the inspector has both as buttons.
  const pin = marking('pinned', 'pin', 'Pin: always named, with a row over the tokens (P)');
  const mute = marking('muted', 'mute', 'Mute: not drawn, not listed (M)');
  return { item: el('li', {}, button, pin, mute), button, rank, name, effect, activation, bar, pin };
}

/** @param {Mark} mark @param {string} drawing @param {string} title */
const marking = (mark, drawing, title) =>
  el(
    'button',
    { type: 'button', className: 'quiet mark', 'data-mark': mark, tabIndex: -1, title, 'aria-label': title },
    icon(drawing),
  );
