// @ts-check
// What stands in the middle before the first session: what one will see, and prompts to begin with.

import { $, el } from '../dom.js';

/** @import { State } from '../state.js' */

const WHAT =
  'Each dot is a feature: something the model has learned to notice, such as “a country” or “a number is next”. ' +
  'It lights up at the tokens where it fires. Features that fire together are joined.';

/**
 * @param {State} state
 * @param {(prompt: string) => void} runExample
 */
export function emptyPanel(state, runExample) {
  const empty = $('empty');

  state.on(['hello', 'session', 'running', 'choice'], () => {
    empty.hidden = !state.hello || state.hello.first || state.session !== null || state.running;
    const models = state.hello?.models ?? [];
    const examples = models.find((model) => model.id === state.model)?.examples ?? [];
    empty.replaceChildren(
      el('h2', {}, 'Watch the concepts that fire while a model writes'),
      el('p', {}, WHAT),
      el('p', { className: 'muted' }, invitation(models.length, examples.length)),
      el('div', { className: 'examples' }, ...examples.map(example)),
    );
  });

  /** @param {string} text */
  function example(text) {
    return el('button', { type: 'button', 'data-example': text, onclick: () => runExample(text) }, text);
  }
}

/** @param {number} models @param {number} examples */
function invitation(models, examples) {
  if (!models) return 'No model is there to run. Models come from plugins; the list of problems says why none did.';
  return examples ? 'Type a prompt, or begin with one of these:' : 'Type a prompt to begin.';
}
