// @ts-check
// Which model the next run uses and which SAEs read it, and which of them is on screen.

import { $, el, setText } from '../dom.js';
import { counted, familyName, saeName, size } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { Model, Sae } from '../types.js' */

const TYPING = 150; // ms without a key before a search begins

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
    const local = state.hello?.saes.find((sae) => sae.model === model.value)?.id;
    const first = chosen?.sae || local;
    state.choose(model.value, first ? [first] : []);
    search.value = '';
    void actions.load();
  });
  shown.addEventListener('change', () => (shown.value ? state.showSae(shown.value) : state.showTogether()));

  state.on(['hello', 'choice'], () => {
    const models = state.hello?.models ?? [];
    const families = [...new Set(models.map((one) => one.family))];
    model.replaceChildren(
      ...families.map((family) =>
        el(
          'optgroup',
          { label: familyName(family) },
          ...models.filter((one) => one.family === family).map((one) => modelOption(one, one.id === state.model)),
        ),
      ),
    );
    setText($('saes-count'), String(state.saes.length));
  });

  // -- the SAEs of the next run ----------------------------------------------------------------------------------------

  const search = el('input', {
    type: 'search',
    id: 'saes-search',
    placeholder: 'Search: layer, hook point, release …',
    'aria-label': 'Search SAEs',
  });
  const found = el('div', { id: 'saes-found' });
  const total = el('p', { className: 'muted', role: 'status' });
  popover.append(
    el('div', { className: 'head' }, el('h2', {}, 'SAEs that read the next run')),
    search,
    found,
    total,
    el('button', { type: 'button', className: 'small', id: 'train-sae' }, 'Train an SAE …'),
  );
  let asked = 0;
  let typing = 0;
  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = window.setTimeout(fill, TYPING);
  });
  popover.addEventListener('toggle', (/** @type {any} */ event) => {
    if (event.newState === 'open') void fill();
  });

  async function fill() {
    const mine = ++asked; // an answer that comes after a later question is dropped
    const answer = await actions.saes(state.model, search.value);
    if (mine !== asked || !answer) return;
    const chosen = state.saes.map((id) => state.saeOf(id)).filter((sae) => sae !== undefined);
    const others = answer.saes.filter((sae) => !state.saes.includes(sae.id));
    found.replaceChildren(...[...chosen, ...others].map(saeRow));
    search.hidden = !search.value && answer.total <= answer.saes.length && answer.total < 10;
    const about = state.hello?.models.find((one) => one.id === state.model)?.about ?? '';
    setText(total, answer.total ? shownOf(answer.saes.length, answer.total) : search.value ? 'None found.' : about);
  }

  /** @param {Sae} sae */
  function saeRow(sae) {
    const box = el('input', {
      type: 'checkbox',
      value: sae.id,
      checked: state.saes.includes(sae.id),
      disabled: Boolean(sae.refused),
    });
    box.addEventListener('change', () => {
      const chosen = box.checked ? [...state.saes, sae.id] : state.saes.filter((id) => id !== sae.id);
      if (!chosen.length) {
        box.checked = true; // where there are SAEs, a run without any has nothing to show
        return;
      }
      state.know(sae);
      state.choose(state.model, chosen);
      void actions.load();
    });
    const cost = sae.refused
      ? `cannot be used: ${sae.refused}`
      : [sae.width ? counted(sae.width, 'feature') : '', sae.installed ? '' : missing(sae.size_bytes)]
          .filter(Boolean)
          .join(', ');
    return el(
      'label',
      { className: sae.refused ? 'check sae refused' : 'check sae', title: sae.about },
      box,
      el('span', {}, el('b', {}, saeName(sae, sae.id)), el('small', {}, [sae.id, cost].filter(Boolean).join(' · '))),
    );
  }

  // -- the SAE on screen -----------------------------------------------------------------------------------------------

  state.on(['session', 'steps', 'choice', 'hello'], () => {
    const start = state.session?.start;
    const offered = start?.saes ?? state.saes;
    const together = state.shown.length > 1;
    const signature = `${offered.join()}|${state.sae}|${together}|${start?.session}`;
    if (shown.dataset.signature === signature) return; // an open list must not be rebuilt at each token
    shown.dataset.signature = signature;
    shown.replaceChildren(
      ...offered.map((id) =>
        el('option', { value: id, selected: id === state.sae && !together, title: id }, state.saeName(id)),
      ),
      ...(start && offered.length > 1
        ? [el('option', { value: '', selected: together }, `all ${offered.length} at once`)]
        : []),
    );
    shown.disabled = offered.length < 2;
    const notes = start?.notes?.filter((note) => state.shown.some((sae) => note.includes(sae))) ?? [];
    setText($('notes'), offered.length ? notes.join(' ') : 'No SAE reads this model: only its words are shown.');
  });
}

/** @param {Model} one @param {boolean} selected */
function modelOption(one, selected) {
  const cost = one.installed ? '' : ` · ${missing(one.size_bytes)}`;
  const bare = one.saes || one.sae ? '' : ' · no SAE';
  return el('option', { value: one.id, selected, title: one.about }, `${one.name}${cost}${bare}`);
}

/** @param {number} count @param {number} total */
const shownOf = (count, total) => (count < total ? `${count} of ${total} shown: search for the others.` : '');

/** What stands between the user and something that is not on this machine. @param {number} bytes */
const missing = (bytes) => (bytes ? `${size(bytes)} to download` : 'not installed');
