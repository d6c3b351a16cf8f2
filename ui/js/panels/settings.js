// @ts-check
// How the next session is generated: a slider for the usual values, a number field for all that the program allows,
// and in words what the value means.

import { $, el, setText } from '../dom.js';
import { recall, remember } from '../remember.js';
import { typingSwitch } from './typing.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

/**
 * @typedef {object} Control
 * @property {string} name    as in the program's settings
 * @property {string} title
 * @property {number} usual   the slider's upper end
 * @property {number} [from]  the slider's lower end, where that is not the lowest value allowed
 * @property {number} step
 * @property {(value: number) => string} means
 */

/** @type {Control[]} */
const CONTROLS = [
  {
    name: 'max_tokens',
    title: 'New tokens',
    usual: 200,
    step: 1,
    means: (n) => (n === 0 ? 'only reads the prompt' : `writes up to ${n}`),
  },
  {
    name: 'temperature',
    title: 'Temperature',
    usual: 2,
    step: 0.05,
    means: (n) =>
      n === 0
        ? 'always the most probable'
        : n < 1
          ? 'bolder on the probable'
          : n > 1
            ? 'flatter, more surprising'
            : "the model's own odds",
  },
  {
    name: 'top_k',
    title: 'Top k',
    usual: 200,
    step: 1,
    means: (n) => (n === 0 ? 'all tokens' : `the ${n} most probable`),
  },
  {
    name: 'top_p',
    title: 'Top p',
    usual: 1,
    step: 0.01,
    means: (n) => (n >= 1 ? 'all of these' : `the fewest that make ${Math.round(n * 100)} %`),
  },
  {
    name: 'repetition_penalty',
    title: 'Repetition penalty',
    usual: 2,
    from: 1,
    step: 0.05,
    means: (n) => (n === 1 ? 'none' : n > 1 ? 'avoids what was said' : 'prefers what was said'),
  },
  {
    name: 'top_features',
    title: 'Features kept',
    usual: 50,
    step: 1,
    means: (n) => `strongest ${n} per token and SAE`,
  },
];

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function settingsPanel(state, actions) {
  const popover = $('settings-popover');
  /** @type {Record<string, HTMLInputElement>} */
  const numbers = {};
  const random = el('input', { type: 'checkbox', id: 'setting-random', checked: recall('randomSeed', true) });
  const seed = el('input', {
    type: 'number',
    id: 'setting-seed',
    min: '0',
    step: '1',
    value: '0',
    'aria-label': 'Seed',
  });

  state.on('hello', () => {
    if (popover.childElementCount || !state.hello) return;
    const { settings, defaults, ranges } = state.hello;
    popover.append(
      el(
        'div',
        { className: 'head' },
        el('h2', {}, 'Sampling'),
        el(
          'button',
          { type: 'button', className: 'quiet', id: 'settings-defaults', onclick: () => restore(defaults) },
          'Defaults',
        ),
      ),
      ...CONTROLS.map((control) => row(control, settings[control.name], ranges[control.name])),
      el(
        'div',
        { className: 'setting' },
        el('label', { for: 'setting-seed' }, 'Seed'),
        el('label', { className: 'check' }, random, 'a new one for each run'),
        seed,
        el('output', { for: 'setting-seed' }, 'the same seed and settings give the same tokens'),
      ),
      typingSwitch(state),
    );
    if (ranges.seed) seed.max = String(ranges.seed[1]);
    seed.value = String(settings.seed);
    seed.disabled = random.checked;
  });

  /**
   * @param {Control} control
   * @param {number} value
   * @param {[number, number, boolean]} range
   */
  function row(control, value, [low, high, whole]) {
    const id = `setting-${control.name}`;
    const slider = el('input', {
      type: 'range',
      min: String(Math.max(low, control.from ?? low)),
      max: String(Math.min(high, control.usual)),
      step: String(control.step),
      'aria-label': control.title,
    });
    const field = el('input', { type: 'number', id, min: String(low), max: String(high), step: whole ? '1' : 'any' });
    const output = el('output', { for: id });
    numbers[control.name] = field;
    const show = () => {
      slider.value = field.value;
      slider.style.setProperty(
        '--share',
        String((Number(slider.value) - Number(slider.min)) / (Number(slider.max) - Number(slider.min))),
      );
      setText(output, field.value === '' ? '' : control.means(Number(field.value)));
    };
    const change = () => {
      show();
      keep(control.name, field);
    };
    slider.addEventListener('input', () => {
      field.value = slider.value;
      change();
    });
    field.addEventListener('input', change);
    field.value = String(value);
    show();
    return el('div', { className: 'setting' }, el('label', { for: id }, control.title), slider, field, output);
  }

  /** @param {Record<string, number>} defaults */
  function restore(defaults) {
    for (const [name, field] of Object.entries(numbers)) {
      field.value = String(defaults[name]);
      field.dispatchEvent(new Event('input'));
    }
  }

  /** Keeps a value for the next start, unless the program would refuse it. */
  const keep = (/** @type {string} */ name, /** @type {HTMLInputElement} */ field) => {
    if (field.validity.valid && field.value !== '') actions.keep({ settings: { [name]: field.valueAsNumber } });
  };
  seed.addEventListener('input', () => keep('seed', seed));
  random.addEventListener('change', () => {
    seed.disabled = random.checked;
    remember('randomSeed', random.checked);
  });

  return {
    /** The settings of the next run. What makes no sense is sent too: the program says what is wrong with it. */
    values() {
      if (random.checked) seed.value = String(Math.floor(Math.random() * 2 ** 31));
      const values = Object.entries(numbers).map(([name, field]) => [name, field.valueAsNumber]);
      return { ...Object.fromEntries(values), seed: seed.valueAsNumber };
    },
  };
}
