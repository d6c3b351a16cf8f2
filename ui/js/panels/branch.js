// @ts-check
// Going on from a token: its text goes into the prompt box, where it can be changed, and the next run remembers where it
// came from.

import { $, el, icon } from '../dom.js';
import { isTransient, stepsUpTo } from '../session.js';
import { shortened } from '../label-words.js';
import { NOT_STORED } from '../words.js';

/** @import { State } from '../state.js' */

/**
 * @param {State} state
 * @param {{write(text: string): void}} prompt
 */
export function branchPanel(state, prompt) {
  const button = $('branch');
  const chip = $('parent');
  const { title } = button;

  button.addEventListener('click', () => {
    const { session, t } = state;
    if (!session?.start || t < 0) return;
    const text = stepsUpTo(session, t)
      .map((step) => step.text)
      .join('');
    const { model, saes } = session.start;
    const offered = state.hello?.models.some((one) => one.id === model);
    if (offered) state.choose(model, saes);
    state.branch({ session: session.uid, position: t, title: shortened(session.start.prompt, 30) });
    prompt.write(text);
  });

  state.on(['session', 'steps', 'cursor', 'running'], () => {
    const transient = isTransient(state.session);
    button.disabled = !state.session?.start || state.t < 1 || state.running || transient;
    button.title = transient ? NOT_STORED : title;
  });
  state.on('parent', () => {
    const { parent } = state;
    chip.hidden = !parent;
    if (!parent) return chip.replaceChildren();
    chip.replaceChildren(
      el('span', {}, `goes on from token ${parent.position} of “${parent.title}”`),
      el(
        'button',
        {
          type: 'button',
          className: 'quiet',
          'aria-label': 'Forget where it goes on from',
          title: 'A session of its own',
          onclick: () => state.branch(null),
        },
        icon('close'),
      ),
    );
  });
}
