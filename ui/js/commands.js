// @ts-check
// Everything that can be done from the keyboard, in one table: what a key does, what the palette offers and what the help
// says are the same.

import { $ } from './dom.js';
import { firstPosition } from './session.js';
import { theme } from './theme.js';

/** @import { Actions } from './actions.js' */
/** @import { FeatureId } from './marks.js' */
/** @import { State } from './state.js' */

/**
 * @typedef {object} Command
 * @property {string} name            what it does, as the palette and the help say it
 * @property {string} [keys]          as the help shows them: "Shift + ← →"
 * @property {string[]} [on]          the keys as the browser names them, lower case
 * @property {(event?: KeyboardEvent) => unknown} act
 * @property {() => boolean} [can]    whether it makes sense now; by itself always
 * @property {"key"} [only]           the palette does not offer it
 *
 * @typedef {object} Panels
 * @property {{run(): void, focus(): void}} prompt
 * @property {{fit(): void, reset(): void, hold(): void, toggleDimensions(): void, save(): void}} graph
 * @property {{focused(): FeatureId | null}} active
 * @property {{open(): void}} labels
 * @property {{open(position: number): void}} why
 * @property {{open(): void}} training
 * @property {{open(): void}} preferences
 * @property {{open(): void}} help
 * @property {{open(): void}} palette
 * @property {(name: "left" | "right") => void} togglePane
 * @property {(theme: "dark" | "light" | "system") => void} setTheme
 */

/**
 * @param {State} state
 * @param {Actions} actions
 * @param {Panels} panels
 * @returns {Command[]}
 */
export function commandsOf(state, actions, panels) {
  const { prompt, graph, active, labels, preferences, why, training, help, palette, togglePane, setTheme } = panels;
  const loaded = () => state.session !== null;
  /** What the keyboard or the mouse is on, or else what the inspector shows. */
  const meant = () => active.focused() ?? state.hover ?? state.feature;
  const focus = (/** @type {string} */ selector) =>
    /** @type {HTMLElement | null} */ (document.querySelector(selector))?.focus();
  const far = (/** @type {KeyboardEvent | undefined} */ event) => (event?.shiftKey ? 10 : 1);

  return [
    { name: 'Run the prompt', keys: 'Ctrl + Enter', on: ['ctrl+enter'], act: prompt.run, can: () => !state.running },
    { name: 'In the prompt: run, or with Shift a new line', keys: 'Enter', act: prompt.run, only: 'key' },
    { name: 'Stop the run; close what is open', keys: 'Esc', act: actions.stop, can: () => state.running },
    { name: 'Do anything by name', keys: 'Ctrl + K', on: ['ctrl+k'], act: palette.open, only: 'key' },
    { name: 'Write a prompt', keys: '/', on: ['/'], act: prompt.focus },
    {
      name: 'Previous or next token; with Shift ten',
      keys: '← →',
      on: ['arrowleft', 'arrowright'],
      act: (event) => state.moveTo(state.t + (event?.key === 'ArrowLeft' ? -far(event) : far(event))),
      only: 'key',
    },
    {
      name: 'To the first token',
      keys: 'Home',
      on: ['home'],
      act: () => state.session && state.moveTo(firstPosition(state.session)),
      can: loaded,
    },
    { name: 'To the last token', keys: 'End', on: ['end'], act: () => state.moveTo(Infinity), can: loaded },
    { name: 'Play or pause the replay', keys: 'Space', on: [' '], act: () => state.play(!state.playing), can: loaded },
    { name: 'Go with the end again (live)', keys: 'L', on: ['l'], act: () => state.follow(), can: loaded },
    {
      name: 'Pin this feature, or no longer',
      keys: 'P',
      on: ['p'],
      act: () => mark('pinned'),
      can: () => meant() !== null,
    },
    {
      name: 'Mute this feature, or no longer',
      keys: 'M',
      on: ['m'],
      act: () => mark('muted'),
      can: () => meant() !== null,
    },
    {
      name: 'Why the next token',
      keys: 'W',
      on: ['w'],
      act: () => why.open(state.t),
      can: () => loaded() && !state.running,
    },
    { name: 'No steering', act: () => state.steerNoMore(), can: () => state.steers.length > 0 },
    { name: 'Fit the graph into view', keys: 'F', on: ['f'], act: graph.fit },
    { name: 'Reset the camera', keys: 'R', on: ['r'], act: graph.reset },
    { name: 'Hold the dots where they are, or no longer', keys: 'H', on: ['h'], act: graph.hold },
    { name: 'Switch between 3D and 2D', keys: 'G', on: ['g'], act: graph.toggleDimensions },
    { name: 'To the active features', keys: '1', on: ['1'], act: () => focus('#active li:not([hidden]) > button') },
    { name: 'To the inspector', keys: '2', on: ['2'], act: () => $('feature').focus() },
    { name: 'To the past sessions', keys: '3', on: ['3'], act: () => focus('#sessions .session') },
    { name: 'Hide or show the sessions', keys: '[', on: ['['], act: () => togglePane('left') },
    { name: 'Hide or show the features', keys: ']', on: [']'], act: () => togglePane('right') },
    { name: 'Search labels', keys: 'K', on: ['k'], act: labels.open },
    { name: 'Save the session as a file', keys: 'Ctrl + E', on: ['ctrl+e'], act: exportFirst, can: loaded },
    { name: 'Save the graph as a picture', act: graph.save, can: loaded },
    { name: 'Preferences', keys: ',', on: [','], act: preferences.open },
    { name: 'Help and keys', keys: '?', on: ['?'], act: help.open },
    { name: 'All SAEs of the session at once', act: () => state.showTogether(), can: several },
    { name: 'One SAE at a time', act: () => state.showSae(state.sae), can: () => several() && state.together },
    { name: 'List by activation', act: () => state.look({ sortBy: 'activation' }) },
    { name: 'List by effect on the next token', act: () => state.look({ sortBy: 'effect' }) },
    {
      name: 'Hide or list features that always fire',
      act: () => state.look({ hideAlways: !state.view.hideAlways }),
    },
    {
      name: 'Edges of features that always fire, or none',
      act: () => state.look({ alwaysEdges: !state.view.alwaysEdges }),
    },
    { name: 'Train an SAE', act: () => training.open() },
    { name: 'Read as I type, or no longer', act: () => state.readAlong(!state.typing) },
    {
      name: 'Unmute all features',
      act: () => state.unmute(),
      can: () => state.marks.of('muted', state.shown).length > 0,
    },
    { name: 'Dark', act: () => setTheme('dark'), can: () => theme() !== 'dark' },
    { name: 'Light', act: () => setTheme('light'), can: () => theme() !== 'light' },
    { name: 'Dark or light as the system', act: () => setTheme('system') },
  ];

  /** @param {import('./marks.js').Mark} name */
  function mark(name) {
    const id = meant();
    if (id) state.mark(name, id);
  }

  function several() {
    return (state.session?.start?.saes.length ?? 0) > 1;
  }

  function exportFirst() {
    const [form] = state.hello?.formats ?? [];
    if (state.session && form) void actions.exportSession(state.session.uid, form.name);
  }
}
