// @ts-check
// Labels of the SAE on screen: how many are here, getting all of them, and searching in them.

import { $, el, setText } from '../dom.js';
import { restOfSet, setSentence } from '../label-words.js';
import { counted } from '../words.js';
import { calibratingPart } from './labels-calibrating.js';
import { gettingPart } from './labels-getting.js';
import { searchPart } from './labels-search.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

const REFRESH = 1000; // ms between two countings while labels come in
const SAY = 4000; // ms between two announcements

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function labelsPanel(state, actions) {
  const popover = $('labels-popover');
  const of = el('span', { className: 'muted' });
  const here = el('p', { id: 'label-set' });
  const rest = el('small');
  const getting = gettingPart(state, actions);
  const calibrating = calibratingPart(state, actions);
  const search = searchPart(state, actions, () => popover.hidePopover());
  popover.append(
    el('div', { className: 'head' }, el('h2', { id: 'labels-title' }, 'Labels'), of),
    here,
    rest,
    getting.element,
    calibrating.element,
    search.element,
  );

  const isOpen = () => popover.matches(':popover-open');
  popover.addEventListener('toggle', (/** @type {any} */ event) => {
    if (event.newState !== 'open') return getting.forgetOffer();
    void actions.labelSet(state.sae);
    draw();
    search.again();
  });

  state.on(['label_set', 'choice', 'session', 'hello'], () => {
    if (isOpen()) draw();
  });

  function draw() {
    const set = state.labelSet;
    setText(of, state.sae && state.saeName(state.sae));
    of.title = state.sae;
    setText(here, set ? setSentence(set) : state.sae ? 'Counting labels …' : 'No SAE is on screen.');
    setText(rest, set ? restOfSet(set) : '');
    getting.draw();
    calibrating.draw();
    search.draw();
  }

  // -- while labels arrive -------------------------------------------------------------------------------------------

  const announce = $('announce');
  let counting = 0;
  let saying = 0;
  let said = 0; // of state.described
  state.on('names', () => {
    if (isOpen()) counting ||= window.setTimeout(count, REFRESH);
    if (state.described > said) saying ||= window.setTimeout(say, SAY);
  });

  function count() {
    counting = 0;
    void actions.labelSet(state.sae);
  }

  function say() {
    saying = 0;
    setText(announce, `${counted(state.described - said, 'label')} arrived`);
    said = state.described;
  }

  return {
    /** Opens the labels, ready to search. */
    open() {
      if (!isOpen()) popover.showPopover({ source: $('labels') });
      search.focus();
    },
  };
}
