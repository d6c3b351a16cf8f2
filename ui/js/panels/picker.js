// @ts-check
// Which model the next run uses and which SAEs read it, and which of them is on screen.

import { $, el, setText } from '../dom.js';
import { counted, saeName, size } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function pickerPanel(state, actions) {
  /** @type {HTMLSelectElement} */
  const model = $('model');
  /** @type {HTMLSelectElement} */
  const shown = $('sae');
  const popover = $('saes-popover');

  model.addEventListener('change', () => {
    const chosen = state.hello?.models.find((one) => one.id === model.value);
    state.choose(
      model.value,
      chosen?.sae
        ? [chosen.sae]
        : saesOf(model.value)
            .slice(0, 1)
            .map((sae) => sae.id),
    );
    void actions.load();
  });
  shown.addEventListener('change', () => state.showSae(shown.value));

  /** @param {string} id */
  const saesOf = (id) => state.hello?.saes.filter((sae) => sae.model === id) ?? [];

  state.on(['hello', 'choice'], () => {
    const models = state.hello?.models ?? [];
    model.replaceChildren(
      ...models.map((one) =>
        el(
          'option',
          { value: one.id, selected: one.id === state.model, title: one.about },
          one.installed ? one.name : `${one.name} (${missing(one.size_bytes)})`,
        ),
      ),
    );
    setText($('saes-count'), String(state.saes.length));
    fillPopover();
  });

  function fillPopover() {
    const rows = saesOf(state.model).map((sae) => {
      const box = el('input', { type: 'checkbox', value: sae.id, checked: state.saes.includes(sae.id) });
      box.addEventListener('change', () => {
        const chosen = saesOf(state.model)
          .map((one) => one.id)
          .filter((id) => (id === sae.id ? box.checked : state.saes.includes(id)));
        if (!chosen.length) {
          box.checked = true; // a run without any SAE has nothing to show
          return;
        }
        state.choose(state.model, chosen);
        void actions.load();
      });
      const cost = sae.installed
        ? counted(sae.width, 'feature')
        : `${counted(sae.width, 'feature')}, ${missing(sae.size_bytes)}`;
      return el(
        'label',
        { className: 'check sae', title: sae.about },
        box,
        el('span', {}, el('b', {}, saeName(sae, sae.id)), el('small', {}, `${sae.id} · ${cost}`)),
      );
    });
    const focused = /** @type {HTMLInputElement | null} */ (document.activeElement)?.value;
    popover.replaceChildren(el('div', { className: 'head' }, el('h2', {}, 'SAEs that read the next run')), ...rows);
    if (focused) popover.querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
  }

  state.on(['session', 'steps', 'choice', 'hello'], () => {
    const offered = state.session?.start?.saes ?? state.saes;
    const known = offered.map((id) => ({ id, sae: state.hello?.saes.find((sae) => sae.id === id) }));
    const signature = `${offered.join()}|${state.sae}`;
    if (shown.dataset.signature === signature) return; // an open list must not be rebuilt at each token
    shown.dataset.signature = signature;
    shown.replaceChildren(
      ...known.map(({ id, sae }) =>
        el('option', { value: id, selected: id === state.sae, title: id }, saeName(sae, id)),
      ),
    );
    shown.disabled = offered.length < 2;
  });
}

/** What stands between the user and something that is not on this machine. @param {number} bytes */
const missing = (bytes) => (bytes ? `${size(bytes)} to download` : 'not installed');
