// @ts-check
// The inspector's part for the user's own label and note, and the form in which they are written.

import { el, refill } from '../dom.js';
import { asRecord } from '../actions.js';

/** @import { Actions } from '../actions.js' */
/** @import { FeatureRecord } from '../types.js' */

/** @typedef {{label: string, note: string}} Own */

const LABEL = 400; // characters
const NOTE = 2000;

/**
 * @param {Actions} actions
 * @param {(record: FeatureRecord) => void} take   is given what the program knows after a change
 */
export function ownPart(actions, take) {
  const home = el('section', { className: 'own', 'aria-label': 'Your own label and note' });
  /** @type {Map<string, Own>} what was typed and not saved when another feature was looked at, by SAE and feature */
  const drafts = new Map();
  /** @type {FeatureRecord | null} */
  let record = null;
  /** @type {ReturnType<typeof makeForm> | null} */
  let form = null;

  /** @param {FeatureRecord | null} next */
  function show(next) {
    if (form && record && next && keyOf(next) === keyOf(record)) {
      record = next; // what is being typed stays
      return;
    }
    if (form && record) drafts.set(keyOf(record), form.values());
    record = next;
    form = null;
    const draft = record && drafts.get(keyOf(record));
    if (draft) open(draft);
    else draw();
  }

  function draw() {
    const { label, note } = record?.own ?? { label: '', note: '' };
    const has = Boolean(label || note);
    const edit = el(
      'button',
      { type: 'button', id: 'edit-label', className: 'small', onclick: begin, title: 'Edit your label and note' },
      has ? 'Edit' : 'Your own label or note …',
    );
    const title = label ? (note ? 'Your label and note' : 'Your label') : 'Your note';
    // The label itself is the heading of the inspector: the user's own wins.
    const text = note ? el('p', { className: 'note', tabIndex: note.length > 300 ? 0 : undefined }, note) : '';
    const head = el('div', { className: 'head' }, el('h3', {}, title), edit);
    refill(home, ...(!record ? [] : has ? [head, text] : [edit]));
  }

  function begin() {
    open(record?.own ?? { label: '', note: '' });
    form?.focus();
  }

  /** @param {Own} values */
  function open(values) {
    form = makeForm(values, { save, close });
    home.replaceChildren(form.element);
  }

  function close() {
    if (record) drafts.delete(keyOf(record));
    form = null;
    draw();
    home.querySelector('#edit-label')?.focus();
  }

  /** @param {Own} values */
  async function save({ label, note }) {
    const [saved, saving] = [record, form];
    if (!saved || !saving) return;
    saving.busy(true);
    try {
      const answer = await actions.editLabel(saved.sae, saved.feature, label, note);
      drafts.delete(keyOf(saved));
      if (form === saving) {
        record = answer;
        close();
      }
      take(answer);
    } catch (error) {
      saving.busy(false);
      const { message, hint } = asRecord(error);
      saving.complain(`${message} ${hint}`);
    }
  }

  return { element: home, show };
}

/** @param {FeatureRecord} record */
const keyOf = ({ sae, feature }) => `${sae} ${feature}`;

/**
 * @param {Own} values
 * @param {{save: (values: Own) => Promise<void>, close: () => void}} act
 */
function makeForm(values, { save, close }) {
  const label = el('input', {
    type: 'text',
    id: 'own-label',
    maxLength: LABEL,
    value: values.label,
    autocomplete: 'off',
  });
  const note = el('textarea', { id: 'own-note', maxLength: NOTE, rows: 3, value: values.note });
  const complaint = el('p', { className: 'complaint', role: 'alert' });
  const submit = el('button', { type: 'submit', id: 'save-label', className: 'small primary' }, 'Save');
  const remove = el('button', { type: 'button', id: 'remove-label', className: 'small' }, 'Remove own label');
  const cancel = el('button', { type: 'button', id: 'cancel-label', className: 'small' }, 'Cancel');
  remove.hidden = !values.label;
  const typed = () => ({ label: label.value.trim(), note: note.value.trim() });
  const element = el(
    'form',
    { 'aria-label': 'Edit your own label and note' },
    el('label', { for: 'own-label' }, 'Your label'),
    label,
    el('label', { for: 'own-note' }, 'Note'),
    note,
    complaint,
    el('div', { className: 'buttons' }, submit, remove, cancel),
    el('small', {}, 'Enter saves, Shift + Enter begins a new line in the note.'),
  );
  element.addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    void save(typed());
  });
  remove.addEventListener('click', () => void save({ ...typed(), label: '' }));
  cancel.addEventListener('click', close);
  element.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation(); // the inspector stays open, a run goes on
      close();
    } else if (event.key === 'Enter' && event.target === note && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      element.requestSubmit();
    }
  });
  return {
    element,
    values: () => ({ label: label.value, note: note.value }),
    focus: () => label.focus(),
    /** @param {boolean} busy */
    busy(busy) {
      for (const control of [submit, remove]) control.disabled = busy;
      complaint.textContent = '';
    },
    /** @param {string} text */
    complain(text) {
      complaint.textContent = text;
    },
  };
}
