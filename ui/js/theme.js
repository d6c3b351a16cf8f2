// @ts-check
// Dark or light: as the system says, until the user decides otherwise.

import { $ } from './dom.js';
import { recall, remember } from './remember.js';

/** @import { Theme } from './color.js' */
/** @import { State } from './state.js' */

const system = matchMedia('(prefers-color-scheme: light)');

/** @returns {Theme} */
export function theme() {
  const chosen = chosenTheme();
  if (chosen !== 'system') return chosen;
  return system.matches ? 'light' : 'dark';
}

/** @returns {Theme | "system"} */
function chosenTheme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === 'dark' || chosen === 'light' ? chosen : 'system';
}

/** Before the program has said what it remembers: the window's address says it, so that nothing flashes. */
export function guessTheme() {
  const said = /[#&]theme=(dark|light)\b/.exec(location.hash);
  if (said) document.documentElement.dataset.theme = said[1];
}

/** @param {State} state */
export function startTheme(state) {
  const remembered = recall('theme', '');
  if (remembered) document.documentElement.dataset.theme = remembered;
  else delete document.documentElement.dataset.theme;
  system.addEventListener('change', () => state.emit('theme'));
  $('theme').addEventListener('click', () => set(theme() === 'dark' ? 'light' : 'dark'));

  /** @param {Theme | "system"} chosen */
  function set(chosen) {
    if (chosen === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    remember('theme', chosen === 'system' ? '' : chosen);
    state.emit('theme');
  }
  return { chosen: chosenTheme, set };
}
