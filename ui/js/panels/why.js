// @ts-check
// Why this token: what each feature at a position does to a next token, in three ways that ask different things, side by
// side and named for what they are.

import { asRecord } from '../actions.js';
import { $, el, fillDialog, setText } from '../dom.js';
import { featureHead, tokenText } from '../shown.js';
import { counted, number, percent, quoted, signed } from '../words.js';
import { change, largest, ranked, sums } from '../why.js';

/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */
/** @import { ErrorRecord, Why, WhyFeature, WhySae, Without } from '../types.js' */
/** @import { By } from '../why.js' */

const SHOWN = 40; // features of an SAE

/** @type {{by: By, name: string, about: string}[]} */
const WAYS = [
  {
    by: 'ablation',
    name: 'removed',
    about: 'Causal, exact: the model is run again without this feature here. Shown is the token’s probability then.',
  },
  {
    by: 'gradient',
    name: 'gradient',
    about: 'Activation × gradient of the token’s logit: through all later layers, as if they were linear.',
  },
  {
    by: 'direct',
    name: 'direct',
    about: 'What it adds to the logit straight from here, past all later layers.',
  },
];

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function whyDialog(state, actions) {
  /** @type {HTMLDialogElement} */
  const dialog = $('why-dialog');
  const title = el('h2');
  const facts = el('p', { className: 'muted' });
  const other = el('input', {
    type: 'text',
    id: 'why-token',
    placeholder: 'another token',
    'aria-label': 'Ask about another token',
    spellcheck: false,
    autocomplete: 'off',
  });
  const ask = el(
    'form',
    { className: 'asking', method: 'dialog' },
    other,
    el('button', { type: 'submit', className: 'small' }, 'Ask'),
  );
  const order = el(
    'select',
    { id: 'why-by', 'aria-label': 'Order of the features' },
    ...WAYS.map(({ by, name }) => el('option', { value: by }, `by ${name}`)),
  );
  const bar = el('progress', { 'aria-label': 'Features removed one at a time' });
  const doing = el('div', { className: 'doing', role: 'status' }, bar, el('small'));
  const body = el('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-labelledby': 'why-title' });
  fillDialog(dialog, title, facts, el('div', { className: 'buttons' }, order, ask), doing, body);

  let request = '';
  /** @type {{session: string, position: number} | null} */
  let about = null;
  /** @type {Why | null} */
  let answer = null;

  ask.addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    if (other.value) void question({ token: other.value });
  });
  order.addEventListener('change', draw);
  body.addEventListener('click', (/** @type {any} */ event) => {
    const row = event.target.closest('[data-feature]');
    if (!row) return;
    dialog.close();
    state.jump(row.dataset.sae, Number(row.dataset.feature));
  });
  dialog.addEventListener('close', () => {
    if (request) void actions.cancelWhy();
    request = '';
  });
  state.on('why', told);

  function told() {
    const { why } = state;
    if (!why || why.request !== request) return;
    if (why.state === 'running') return progress(why.done ?? 0, why.total ?? 0);
    request = '';
    doing.hidden = true;
    if (why.error) fail(why.error);
    else if (why.answer) {
      answer = why.answer;
      draw();
    }
  }

  /** @param {number} done @param {number} total */
  function progress(done, total) {
    doing.hidden = false;
    if (total) Object.assign(bar, { max: total, value: done });
    else bar.removeAttribute('value');
    const said = total ? `${done} of ${counted(total, 'feature')} removed, one at a time` : 'Loading the model …';
    setText(/** @type {HTMLElement} */ (doing.lastElementChild), said);
  }

  /** @param {ErrorRecord} error */
  function fail({ message, hint }) {
    doing.hidden = true;
    body.replaceChildren(el('p', { className: 'complaint', role: 'alert' }, message, ' ', el('span', {}, hint)));
  }

  /** @param {{token?: string, token_id?: number}} which  left out: the token that followed */
  async function question(which) {
    if (!about) return;
    answer = null;
    request = ''; // what was asked before is not wanted any more
    body.replaceChildren();
    progress(0, 0);
    try {
      request = await actions.why(about.session, about.position, which);
    } catch (error) {
      return fail(asRecord(error));
    }
    told(); // what came before its number was known here
  }

  function draw() {
    if (!answer) return;
    const { piece, token, followed, logit, logprob, rank, notes, saes } = answer;
    const kind = followed ? '' : ', which did not follow';
    setText(title, `Why ${quoted(token.text)} after ${quoted(piece)}${kind}`);
    setText(
      facts,
      `probability ${percent(Math.exp(logprob))}, logit ${number(logit)}, ${rank === 1 ? 'the most probable' : `number ${rank} in probability`}`,
    );
    body.replaceChildren(
      ...notes.map((note) => el('p', { className: 'notice warning' }, note)),
      ...Object.entries(saes).map(([id, sae]) => part(id, sae)),
    );
  }

  /** @param {string} id @param {WhySae} sae */
  function part(id, sae) {
    const by = /** @type {By} */ (order.value);
    const rows = ranked(sae, by);
    const full = {
      direct: largest(rows, (one) => one.direct),
      gradient: largest(rows, (one) => one.gradient),
    };
    const logprob = answer?.logprob ?? 0;
    return el(
      'section',
      {},
      el(
        'h3',
        { title: id },
        state.saeName(id),
        el('small', {}, `L0 ${sae.l0} · ${percent(sae.unexplained)} unexplained`),
      ),
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            el('th', { scope: 'col' }, 'feature'),
            el('th', { scope: 'col' }, 'activation'),
            ...[...WAYS].reverse().map(({ name, about }) => el('th', { scope: 'col', title: about }, name)),
            el('th', { scope: 'col' }, 'then rather'),
          ),
        ),
        el('tbody', {}, ...rows.slice(0, SHOWN).map((one) => row(id, one, full, logprob))),
        el('tfoot', {}, ...foot(sae, logprob)),
      ),
      rows.length > SHOWN ? el('p', { className: 'aside' }, `${rows.length - SHOWN} more do less than these.`) : null,
    );
  }

  /** @param {string} sae @param {WhyFeature} one @param {{direct: number, gradient: number}} full @param {number} logprob */
  function row(sae, one, full, logprob) {
    const { activation, direct, gradient, ablation } = one;
    return el(
      'tr',
      {},
      featureHead(one, sae),
      el('td', {}, number(activation)),
      effect(direct, full.direct),
      effect(gradient, full.gradient),
      removed(ablation, logprob),
      instead(ablation),
    );
  }

  /** The sums, and the part that the features do not explain. @param {WhySae} sae @param {number} logprob */
  function foot(sae, logprob) {
    const lines = sums(sae).map(({ name, about, direct, gradient, without }) =>
      el(
        'tr',
        { title: about },
        el('th', { scope: 'row' }, name),
        el('td'),
        effect(direct, 0),
        effect(gradient, 0),
        removed(without, logprob),
        instead(without),
      ),
    );
    const whole = el(
      'tr',
      { className: 'whole' },
      el('th', { scope: 'row' }, 'all together'),
      el('td'),
      effect(sae.direct?.logit ?? null, 0),
      effect(sae.gradient.whole, 0),
      el('td', { colSpan: 2, className: 'muted' }, 'removals do not add up'),
    );
    return [...lines, whole];
  }

  return {
    /**
     * Asks about a next token of the session on screen.
     * @param {number} position
     * @param {number} [token_id]   left out: the token that followed
     */
    open(position, token_id) {
      const { session } = state;
      const step = session?.steps[position];
      if (!session || !step || step.is_bos || document.querySelector('dialog[open]')) return;
      about = { session: session.uid, position };
      const shown = step.alternatives.find((one) => one.token_id === token_id)?.text ?? step.next?.text ?? '';
      setText(title, `Why ${quoted(shown)} after ${quoted(step.piece)}`);
      setText(facts, '');
      other.value = '';
      dialog.showModal();
      void question(token_id === undefined ? {} : { token_id });
    },
  };
}

/** A number with a sign and a bar; nothing where there is none. @param {number | null} value @param {number} full */
function effect(value, full) {
  if (value === null || value === undefined) return el('td', { className: 'muted' }, '–');
  const width = full ? Math.min(100, (100 * Math.abs(value)) / full) : 0;
  return el(
    'td',
    { className: value < 0 ? 'against' : 'for' },
    signed(value),
    full ? el('span', { className: 'bar' }, el('i', { style: `width:${width.toFixed(1)}%` })) : '',
  );
}

/** @param {Without | null | undefined} without @param {number} logprob */
function removed(without, logprob) {
  const changed = change(without, logprob);
  if (!changed || !without) return el('td', { className: 'muted' }, '–');
  const title = `probability ${percent(changed.from)} → ${percent(changed.to)}, logit ${number(-without.logit)}`;
  return el('td', { title }, `${percent(changed.from)} → ${percent(changed.to)}`);
}

/** @param {Without | null | undefined} without */
const instead = (without) =>
  without
    ? el('td', {}, tokenText(without.instead.text), ` ${percent(without.instead.probability)}`)
    : el('td', { className: 'muted' }, '–');
