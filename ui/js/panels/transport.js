// @ts-check
// Moves the cursor: step, play, scrub, rejoin the end.

import { $, setText } from '../dom.js';
import { lastPosition } from '../session.js';

/** @import { State } from '../state.js' */

/** @param {State} state */
export function transportPanel(state) {
  /** @type {HTMLInputElement} */
  const scrubber = $('scrubber');
  const play = $('play');
  const use = play.querySelector('use');
  const follow = $('follow');
  /** @type {HTMLSelectElement} */
  const speed = $('speed');
  let timer = 0;

  $('step-back').addEventListener('click', () => state.moveTo(state.t - 1));
  $('step-forward').addEventListener('click', () => state.moveTo(state.t + 1));
  play.addEventListener('click', () => state.play(!state.playing));
  follow.addEventListener('click', () => state.follow());
  scrubber.addEventListener('input', () => state.moveTo(Number(scrubber.value)));
  speed.addEventListener('change', () => state.playAt(Number(speed.value)));

  /** One token on, and the next after a while; stops at the end. */
  function tick() {
    timer = 0;
    if (!state.playing || !state.session) return;
    if (state.t >= lastPosition(state.session)) return state.play(false);
    state.moveTo(state.t + 1);
  }

  state.on(['session', 'steps', 'cursor', 'running'], () => {
    const { session, t, live } = state;
    const last = session ? lastPosition(session) : -1;
    for (const control of [scrubber, play, $('step-back'), $('step-forward')]) control.disabled = last < 0;
    scrubber.max = String(Math.max(last, 0));
    scrubber.value = String(Math.max(t, 0));
    scrubber.style.setProperty('--share', String(last > 0 ? t / last : 0));
    setText($('cursor-text'), last < 0 ? '–' : `${t} / ${last}`);
    use?.setAttribute('href', state.playing ? '#icon-pause' : '#icon-run');
    play.setAttribute('aria-label', state.playing ? 'Pause' : 'Play');
    speed.value = String(state.speed);
    follow.hidden = live === null;
    follow.setAttribute('aria-pressed', String(state.following && live === session));
    if (state.playing && !timer) timer = window.setTimeout(tick, 1000 / state.speed);
  });
}
