// @ts-check
// Dark or light: as the system says, until the user decides otherwise.

import { $ } from './dom.js';
import { recall, remember } from './remember.js';

/** @import { Theme } from './color.js' */
/** @import { State } from './state.js' */

const system = matchMedia('(prefers-color-scheme: light)');

/** @returns {Theme} */
export function theme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === 'dark' || chosen === 'light') return chosen;
  return system.matches ? 'light' : 'dark';
}

/** Before the program has said what it remembers: the window's address says it, so that nothing flashes. */
export function guessTheme() {
  const said = /[#&]theme=(dark|light)\b/.exec(location.hash);
  if (said) document.documentElement.dataset.theme = said[1];
}

/** @param {State} state */
export function startTheme(state) {
  const chosen = recall('theme', '');
  if (chosen) document.documentElement.dataset.theme = chosen;
  system.addEventListener('change', () => state.emit('theme'));
  $('theme').addEventListener('click', () => {
    const next = theme() === 'dark' ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    remember('theme', next);
    state.emit('theme');
  });
}
