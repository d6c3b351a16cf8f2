// @ts-check
// Training an SAE of one's own on text files, for a model or a place that has none: what is to be trained, how it gets on,
// and how good it came out.

import { CallError, asRecord } from '../bridge.js';
import { $, el, fillDialog, setText } from '../dom.js';
import { LARGEST, textsOf } from '../texts.js';
import { counted, number, percent } from '../words.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { Training, TrainingChoices } from '../types.js' */

const NUMBERS = /** @type {const} */ ([
  ['width', 'Features', '0: eight for each entry of the vectors'],
  ['l0', 'Of these at a token', 'how many are to fire'],
  ['tokens', 'Tokens', 'to train on; a text that is shorter is read again'],
]);

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function trainingDialog(state, actions) {
  /** @type {HTMLDialogElement} */
  const dialog = $('training-dialog');
  const field = (/** @type {string} */ name, /** @type {Record<string, any>} */ props) =>
    el('input', { id: `train-${name}`, autocomplete: 'off', spellcheck: false, ...props });
  const hook = field('hook', { type: 'text' });
  const name = field('name', { type: 'text', placeholder: 'named after its place' });
  const architecture = el('select', { id: 'train-architecture' });
  const aboutIt = el('output', { for: 'train-architecture' });
  const files = field('files', { type: 'file', multiple: true, accept: '.txt,.md' });
  const numbers = Object.fromEntries(
    NUMBERS.map(([key]) => [key, field(key, { type: 'number', min: '0', step: '1' })]),
  );
  const complaint = el('p', { className: 'complaint', role: 'alert' });
  const go = el('button', { type: 'submit', className: 'plain primary', id: 'train-go' }, 'Train');
  const resume = el('button', { type: 'button', className: 'plain', id: 'train-resume', hidden: true }, 'Go on');
  const form = el(
    'form',
    { method: 'dialog' },
    row('hook', 'Place in the model', hook, el('output', {}, 'a hook point, as TransformerLens names them')),
    row('architecture', 'Kind', architecture, aboutIt),
    ...NUMBERS.map(([key, title, about]) =>
      row(key, title, numbers[key], el('output', { for: `train-${key}` }, about)),
    ),
    row('name', 'Name', name, el('output', {}, 'letters, digits, - and _')),
    row(
      'files',
      'Texts',
      files,
      el('output', {}, `text files, at most ${LARGEST / 1e6} MB here; \`axon-shell train-sae\` takes any size`),
    ),
    complaint,
    el('div', { className: 'buttons' }, go, resume),
  );
  const bar = el('progress', { 'aria-label': 'Training' });
  const said = el('p', { role: 'status' });
  const facts = el('dl', { className: 'facts' });
  const stop = el('button', { type: 'button', className: 'plain', id: 'train-stop' }, 'Stop');
  const use = el('button', { type: 'button', className: 'plain primary', id: 'train-use' }, 'Use it for the next run');
  const again = el('button', { type: 'button', className: 'plain', id: 'train-again' }, 'Train another');
  const going = el('div', {}, bar, said, facts, el('div', { className: 'buttons' }, stop, use, again));
  fillDialog(dialog, 'Train an SAE', form, going);
  /** @type {TrainingChoices | null} */
  let choices = null;
  let choosing = false; // another one is set up, though one has ended

  form.addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    void train(false);
  });
  resume.addEventListener('click', () => void train(true));
  stop.addEventListener('click', () => void actions.stopTraining());
  again.addEventListener('click', () => {
    choosing = true;
    draw();
  });
  use.addEventListener('click', () => {
    const { training } = state;
    if (!training) return;
    dialog.close();
    state.choose(training.sae.split('/')[0], [training.sae]);
    void actions.load();
  });
  architecture.addEventListener('change', sayArchitecture);
  $('train-sae').addEventListener('click', () => {
    $('saes-popover').hidePopover();
    void open();
  });
  state.on(['training', 'hello'], () => dialog.open && draw());

  /** @param {boolean} goOn */
  async function train(goOn) {
    setText(complaint, '');
    try {
      const chosen = [...(files.files ?? [])];
      if (!goOn && !chosen.length) {
        throw new CallError({ kind: 'refused', message: 'There is no text to train on.', hint: 'Choose text files.' });
      }
      const texts = goOn ? [] : await textsOf(chosen, 'axon-shell train-sae');
      const settings = goOn
        ? {}
        : {
            architecture: architecture.value,
            ...Object.fromEntries(NUMBERS.map(([key]) => [key, numbers[key].valueAsNumber])),
          };
      choosing = false;
      await actions.trainSae({
        model: state.model,
        hook: hook.value.trim(),
        settings,
        texts,
        name: name.value.trim(),
        resume: goOn,
      });
    } catch (error) {
      choosing = true;
      const { message, hint } = asRecord(error);
      complaint.replaceChildren(message, ' ', el('span', {}, hint));
    }
    draw();
  }

  function sayArchitecture() {
    setText(aboutIt, choices?.architectures[architecture.value] ?? '');
  }

  function draw() {
    const { training } = state;
    const shown = choosing ? null : training;
    form.hidden = shown !== null;
    going.hidden = shown === null;
    resume.hidden = training?.state !== 'stopped';
    if (!shown) return;
    const busy = ['loading', 'start', 'progress', 'measuring'].includes(shown.state);
    bar.hidden = !busy;
    stop.hidden = !busy;
    use.hidden = shown.state !== 'end';
    again.hidden = busy;
    if (shown.state === 'progress') Object.assign(bar, { max: shown.of, value: shown.tokens });
    else bar.removeAttribute('value');
    setText(said, sentence(shown));
    facts.replaceChildren(
      ...(shown.state === 'progress' ? progressFacts(shown) : shown.state === 'end' ? endFacts(shown) : []).flatMap(
        ([term, value]) => [el('dt', {}, term), el('dd', {}, value)],
      ),
    );
  }

  async function open() {
    if (document.querySelector('dialog[open]')) return;
    try {
      choices ??= /** @type {TrainingChoices} */ (await actions.trainingChoices());
    } catch (error) {
      return state.fail(asRecord(error));
    }
    if (!architecture.options.length) {
      architecture.append(...Object.keys(choices.architectures).map((one) => el('option', { value: one }, one)));
      architecture.value = String(choices.settings.architecture);
      for (const [key] of NUMBERS) numbers[key].value = String(choices.settings[key]);
    }
    const model = state.hello?.models.find((one) => one.id === state.model);
    hook.value ||= model?.hook ?? 'blocks.0.hook_resid_post';
    sayArchitecture();
    draw();
    dialog.showModal();
  }
  return { open };
}

/** @param {string} name @param {string} title @param {Node[]} parts */
function row(name, title, ...parts) {
  return el('div', { className: 'setting' }, el('label', { for: `train-${name}` }, title), ...parts);
}

/** @param {Training} training */
function sentence({ state, sae, tokens, error }) {
  switch (state) {
    case 'end':
      return `${sae} is trained, and in the list of SAEs. Calibrate it to have its features named.`;
    case 'stopped':
      return `${sae} was stopped after ${counted(tokens ?? 0, 'token')}; it can go on from there.`;
    case 'failed':
      return `${error?.message ?? 'It failed.'} ${error?.hint ?? ''}`;
    case 'progress':
      return `Training ${sae}`;
    case 'measuring':
      return `Measuring ${sae} on text that it was not trained on`;
    default:
      return `Getting ready to train ${sae} …`;
  }
}

/** @param {Training} training @returns {[string, string][]} */
const progressFacts = (training) => [
  ['Tokens', `${(training.tokens ?? 0).toLocaleString('en')} of ${(training.of ?? 0).toLocaleString('en')}`],
  ['Loss', number(training.loss)],
  ['L0', number(training.l0)],
  ['Unexplained', percent(training.unexplained)],
  ['Dead features', String(training.dead ?? '–')],
  ['Speed', `${number(training.tokens_per_second)} tokens/s`],
  ['Time left', `${Math.ceil((training.seconds_left ?? 0) / 60)} min`],
];

/** On text that it was not trained on. @param {Training} training @returns {[string, string][]} */
const endFacts = ({ quality }) =>
  quality
    ? [
        ['Unexplained', percent(quality.unexplained)],
        ['L0', number(quality.l0)],
        ['Dead features', percent(quality.dead)],
        ['Loss recovered', percent(quality.recovered)],
      ]
    : [];
