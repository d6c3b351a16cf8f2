// @ts-check
// The token strip: every position, prompt and written told apart, the cursor, and a color for each token.
// Tokens are appended as they come and never rebuilt, in blocks that the browser skips while they are out of sight.

import { $, el, setText } from '../dom.js';
import { ground } from '../color.js';
import { analysisOf, sharesOf } from '../coloring.js';
import { isTransient } from '../session.js';
import { theme } from '../theme.js';
import { analysis, endReason, featureName, quoted, visible } from '../words.js';

/** @import { Session } from '../session.js' */
/** @import { State } from '../state.js' */
/** @import { Step } from '../types.js' */

const BLOCK = 200; // tokens; a new block begins at the next line break or here

/** @param {State} state */
export function tokensPanel(state) {
  const strip = $('tokens');
  const announce = $('announce');
  /** @type {HTMLElement[]} by position */
  let tokens = [];
  /** @type {Session | null} */
  let drawn = null;
  let colored = ''; // what the tokens are colored by now, and how many there were
  /** @type {number[]} the share that each token was painted with */
  let painted = [];
  let shadedTo = 0; // tokens from here on are marked as later than the cursor
  /** @type {HTMLElement | null} */
  let current = null;

  strip.addEventListener('click', (/** @type {any} */ event) => {
    const token = event.target.closest('[data-position]');
    if (token) state.moveTo(Number(token.dataset.position));
  });

  state.on(['session', 'steps', 'cursor', 'choice', 'feature', 'theme'], () => {
    append();
    color();
    moveCursor();
    sayEnding();
  });
  state.on('names', sayAll);
  state.on('choice', () => saidOf !== state.sae && sayAll());

  function append() {
    if (drawn !== state.session) {
      drawn = state.session;
      tokens = [];
      current = null;
      colored = '';
      painted = [];
      shadedTo = state.t + 1;
      strip.replaceChildren();
    }
    const steps = state.session?.steps ?? [];
    const added = [];
    while (tokens.length < steps.length && steps[tokens.length]) {
      const step = steps[tokens.length];
      if (tokens.length % BLOCK === 0) strip.append(el('div', { className: 'block', role: 'presentation' }));
      const token = makeToken(step);
      tokens.push(token);
      added.push(token);
      strip.lastElementChild?.append(token);
    }
    if (added.length && state.running) speak();
  }

  /** @param {Step} step */
  function makeToken(step) {
    const kind = step.is_bos ? 'bos' : step.is_prompt ? 'prompt' : 'written';
    const text = step.is_bos ? 'start' : visible(step.piece);
    const token = el(
      'span',
      {
        role: 'option',
        className: ['token', kind, step.piece.includes('\n') && 'breaks', step.position > state.t && 'later']
          .filter(Boolean)
          .join(' '),
        'data-position': step.position,
        tabIndex: -1,
        'aria-selected': 'false',
      },
      text,
    );
    say(token, step);
    return token;
  }

  /** @param {HTMLElement} token @param {Step} step */
  function say(token, step) {
    const said = spoken(step);
    if (token.getAttribute('aria-label') === said) return;
    token.setAttribute('aria-label', said);
  }

  let saidOf = ''; // the SAE whose features the tokens name
  function sayAll() {
    saidOf = state.sae;
    (state.session?.steps ?? []).forEach((step, i) => tokens[i] && step && say(tokens[i], step));
  }

  /** @param {Step} step */
  function spoken(step) {
    if (step.is_bos) return 'start of the text (BOS)';
    const top = step.saes[state.sae]?.features.find((active) => active.label && active.label_state === 'labelled');
    const name = `${step.is_prompt ? 'prompt ' : ''}token ${step.position} ${quoted(step.piece)}`;
    return top ? `${name}, top feature ${featureName(top.feature, top.label)}` : name;
  }

  function color() {
    const steps = state.session?.steps ?? [];
    const feature = state.colorBy === 'feature' ? `${state.feature?.sae} ${state.feature?.feature}` : '';
    const wanted = `${state.colorBy} ${feature} ${state.sae} ${theme()} ${steps.length}`;
    if (wanted === colored) return;
    const repaint = !colored.startsWith(wanted.slice(0, wanted.lastIndexOf(' ') + 1)); // not just more tokens
    colored = wanted;
    sharesOf(steps, state, state.hello?.analysers ?? {}).forEach((share, i) => {
      if (!tokens[i] || (painted[i] === share && !repaint)) return;
      painted[i] = share;
      paint(tokens[i], share);
    });
    setText($('coloring'), coloring());
  }

  /** @param {HTMLElement} token @param {number} share */
  function paint(token, share) {
    const { background, strong } = ground(share, theme());
    token.style.backgroundColor = background;
    token.classList.toggle('strong', strong);
  }

  function coloring() {
    const name = analysisOf(state.colorBy);
    if (name !== null) {
      const { about = '', high = null, unit = '' } = state.hello?.analysers[name] ?? {};
      const full = high === null ? 'the highest in full' : `in full from ${analysis(high, { unit })}`;
      return `colored by ${name}, ${full}${about && `: ${about}`}`;
    }
    if (state.colorBy === 'unexplained') return 'colored by the share the SAE leaves unexplained';
    if (!state.feature) return 'select a feature to see where it fires';
    return `colored by feature ${state.feature.feature}`;
  }

  function moveCursor() {
    const token = tokens[state.t] ?? null;
    if (token === current) return;
    const focused = current !== null && document.activeElement === current;
    const [low, high] = [Math.min(shadedTo, state.t + 1), Math.max(shadedTo, state.t + 1)];
    for (let i = low; i < high; i++) tokens[i]?.classList.toggle('later', i > state.t);
    shadedTo = state.t + 1;
    if (current) {
      current.setAttribute('aria-selected', 'false');
      current.tabIndex = -1;
    }
    current = token;
    if (!token) return;
    token.setAttribute('aria-selected', 'true');
    token.tabIndex = 0;
    if (focused) token.focus({ preventScroll: true });
    revealing ||= requestAnimationFrame(reveal);
  }

  let revealing = 0; // until all panels have written: each question of where something is has the page laid out
  /** Scrolls only the strip, and only when the current token is out of sight. */
  function reveal() {
    revealing = 0;
    if (!current) return;
    const box = current.getBoundingClientRect();
    const view = strip.getBoundingClientRect();
    if (box.bottom > view.bottom - 4) strip.scrollTop += box.bottom - view.bottom + 8;
    else if (box.top < view.top) strip.scrollTop -= view.top - box.top + 8;
  }

  function sayEnding() {
    const end = state.session?.end;
    const place = $('ending');
    place.classList.toggle('error', end?.reason === 'error');
    if (state.unread) setText(place, `not read as you type: ${state.unread}`);
    else if (isTransient(state.session)) setText(place, 'read as you type, not stored');
    else if (end?.error) setText(place, `${endReason('error')}: ${end.error.message} ${end.error.hint}`);
    else if (end) setText(place, endReason(end.reason));
    else setText(place, state.session && state.session === state.live ? 'writing …' : '');
  }

  // -- the screen reader hears phrases, not single tokens --------------------------------------------------------

  let spokenTo = 0;
  let speaking = 0;
  function speak() {
    if (speaking) return;
    speaking = window.setTimeout(() => {
      speaking = 0;
      const steps = state.session?.steps ?? [];
      if (spokenTo > steps.length) spokenTo = 0;
      setText(
        announce,
        steps
          .slice(spokenTo)
          .map((step) => step.text)
          .join(''),
      );
      spokenTo = steps.length;
    }, 1200);
  }
}
