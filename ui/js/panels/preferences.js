// @ts-check
// How the page looks and behaves, and where things are kept.

import { $, el, fillDialog } from '../dom.js';

/** @import { State } from '../state.js' */
/** @import { Theme } from '../color.js' */

/**
 * @param {State} state
 * @param {{chosen(): Theme | "system", set(theme: Theme | "system"): void}} theme
 * @param {...Node} more   rows of other panels
 */
export function preferencesDialog(state, theme, ...more) {
  /** @type {HTMLDialogElement} */
  const dialog = $('preferences');
  const themes = choice('theme-choice', [
    ['system', 'as the system'],
    ['dark', 'dark'],
    ['light', 'light'],
  ]);
  themes.addEventListener('change', () => theme.set(/** @type {any} */ (themes.value)));
  const motion = choice('motion-choice', [
    ['system', 'as the system'],
    ['less', 'as little as possible'],
  ]);
  motion.addEventListener('change', () => state.look({ motion: motion.value }));
  const places = el('dl', { className: 'facts' });
  fillDialog(
    dialog,
    'Preferences',
    el('div', { className: 'preference' }, el('label', { for: 'theme-choice' }, 'Dark or light'), themes),
    el(
      'div',
      { className: 'preference' },
      el('label', { for: 'motion-choice' }, 'Motion'),
      motion,
      el('small', {}, 'With little motion the graph stands still once it is laid out, and the camera does not fly.'),
    ),
    ...more,
    el('h2', {}, 'Where things are'),
    places,
  );
  applyMotion();
  state.on('view', applyMotion);

  function applyMotion() {
    document.documentElement.dataset.motion = state.view.motion;
  }

  function open() {
    if (document.querySelector('dialog[open]')) return;
    themes.value = theme.chosen();
    motion.value = state.view.motion;
    const { store, offline, version, folders } = state.hello ?? {};
    const rows = {
      Sessions: store?.path,
      Settings: folders?.config,
      'Models and SAEs': folders?.models,
      'Saved files': folders?.downloads,
      Network: offline ? 'switched off' : 'used when you ask for something',
      Version: version && `AXON Shell ${version}`,
    };
    places.replaceChildren(
      ...Object.entries(rows)
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]),
    );
    dialog.showModal();
  }
  $('preferences-button').addEventListener('click', open);
  return { open };
}

/** @param {string} id @param {[value: string, says: string][]} options */
const choice = (id, options) => el('select', { id }, ...options.map(([value, says]) => el('option', { value }, says)));
