// @ts-check
// Searching in labels: the results are a list that arrow keys move in and Enter opens.

import { el, refill, setText } from '../dom.js';
import { asRecord } from '../actions.js';
import { originName } from '../label-words.js';
import { togglePane } from '../keys.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { Found } from '../types.js' */

const TYPING = 120; // ms without a key before a search begins

/**
 * @param {State} state
 * @param {Actions} actions
 * @param {() => void} close
 */
export function searchPart(state, actions, close) {
  const field = el('input', {
    type: 'search',
    id: 'labels-search',
    placeholder: 'Search labels: capital, python …',
    'aria-label': 'Search labels',
    'aria-controls': 'labels-found',
    autocomplete: 'off',
    spellcheck: false,
    maxLength: 200,
  });
  const where = el(
    'select',
    { id: 'labels-where', 'aria-label': 'Where to search' },
    el('option', { value: 'this' }, 'this SAE'),
    el('option', { value: 'all' }, 'all SAEs'),
  );
  const said = el('p', { className: 'muted', role: 'status' });
  const list = el('ul', { id: 'labels-found', 'aria-label': 'Labels found' });
  const element = el(
    'div',
    { className: 'searching', role: 'search' },
    field,
    el('span', { className: 'chip' }, where),
    said,
    list,
  );
  let asked = 0;
  let typing = 0;
  let shown = ''; // the search whose results these are

  field.addEventListener('input', () => {
    clearTimeout(typing);
    typing = window.setTimeout(search, TYPING);
  });
  where.addEventListener('change', () => void search());
  element.addEventListener('keydown', keys);
  list.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-feature]');
    if (row) jump(row);
  });

  const question = () => JSON.stringify([field.value.trim(), where.value === 'this' ? state.sae : '']);

  async function search() {
    clearTimeout(typing);
    const mine = ++asked; // an answer that comes after a later question is dropped
    const [wanted, text] = [question(), field.value.trim()];
    if (!text) return draw();
    try {
      const { found, more } = await actions.searchLabels(text, where.value === 'this' ? state.sae : '');
      if (mine !== asked) return;
      shown = wanted;
      refill(list, ...found.map(row));
      list.scrollTop = 0;
      setText(
        said,
        found.length ? (more ? `The first ${found.length}: type more to find the others.` : '') : nothing(),
      );
    } catch (error) {
      if (mine !== asked) return;
      list.replaceChildren();
      setText(said, asRecord(error).message);
    }
  }

  function nothing() {
    const all = where.value === 'all' ? '' : ' Search all SAEs, or get all labels of this one.';
    return `Nothing found among the labels that are here.${where.value === 'this' && state.labelSet?.complete ? '' : all}`;
  }

  /** @param {Found} found */
  function row({ sae, feature, label, origin }) {
    const own = origin === 'you';
    const place = [`feature ${feature}`, ...(own ? [] : [originName(origin)]), ...(where.value === 'all' ? [sae] : [])];
    return el(
      'li',
      {},
      el(
        'button',
        {
          type: 'button',
          'data-feature': feature,
          'data-sae': sae,
          className: origin === 'automatic' ? 'automatic' : '',
        },
        el('span', { className: 'name' }, label),
        el('small', {}, own ? el('b', {}, 'yours') : '', place.join(' · ')),
      ),
    );
  }

  /** @param {KeyboardEvent} event */
  function keys(event) {
    const rows = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('button')]);
    const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (event.target === where) return;
    if (event.key === 'ArrowDown') (rows[at + 1] ?? rows.at(-1))?.focus();
    else if (event.key === 'ArrowUp') (at > 0 ? rows[at - 1] : field).focus();
    else if (event.key === 'Home' && at >= 0) rows[0].focus();
    else if (event.key === 'End' && at >= 0) rows.at(-1)?.focus();
    else if (event.key === 'Enter' && event.target === field && !event.isComposing) void openFirst();
    else return;
    event.preventDefault();
  }

  /** Opens the best result of what stands in the field now. */
  async function openFirst() {
    if (shown !== question()) await search();
    const first = list.querySelector('button');
    if (first && shown === question()) jump(first);
  }

  /** @param {HTMLElement} row */
  function jump({ dataset }) {
    close();
    togglePane('right', false);
    state.jump(dataset.sae ?? state.sae, Number(dataset.feature));
    /** @type {HTMLElement} */ (document.getElementById('feature')).focus();
  }

  /** What stands here without a search, or after another SAE has come on screen. */
  function draw() {
    if (field.value.trim()) {
      if (shown && shown !== question()) void search();
      return;
    }
    asked++;
    shown = '';
    list.replaceChildren();
    setText(said, state.sae ? 'Every label that is here, and your own, can be searched.' : '');
  }

  return {
    element,
    draw,
    /** Searches again: labels may have come since. */
    again: () => void search(),
    focus() {
      field.focus();
      field.select();
    },
  };
}
