// @ts-check
// How things are said: names of features and tokens, numbers, times, reasons. Pure.

/** @import { EdgesBy, Graph, LabelState, Sae } from './types.js' */

/** @type {Record<string, string>} */
const STATES = {
  unlabelled: 'no label',
  absent: 'not in the label set',
  pending: 'label on its way',
  unavailable: 'label not reachable',
};

/** @type {Record<string, string>} */
const REASONS = {
  max_tokens: 'finished: all tokens written',
  end_of_text: 'finished: the model ended the text',
  stopped: 'stopped',
  context_full: 'finished: the context is full',
  error: 'stopped by an error',
  interrupted: 'interrupted: the program ended while writing',
};

/**
 * A feature's name: its label, or its number and why there is no label.
 * @param {number} feature
 * @param {string | null} label
 * @param {LabelState} [state]
 */
export function featureName(feature, label, state = 'unlabelled') {
  return label ?? `feature ${feature} (${whyNoLabel(state)})`;
}

/** Why something cannot be done with a prompt that is only read while it is typed. */
export const NOT_STORED = 'What is read as you type is not stored: run it first';

/** @param {LabelState} state */
export const whyNoLabel = (state) => STATES[state] ?? STATES.unlabelled;

/**
 * A token as it is read aloud or quoted: in quotation marks, white space visible.
 * @param {string} text
 */
export function quoted(text) {
  return `“${visible(text)}”`;
}

/**
 * A token's text with line breaks and tabs made visible.
 * @param {string} text
 */
export function visible(text) {
  if (/^ +$/.test(text)) return '␣'.repeat(text.length);
  return text.replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll('\r', '␍');
}

/** @param {string | null} reason */
export const endReason = (reason) => (reason ? (REASONS[reason] ?? reason) : 'interrupted');

/**
 * A number with as many digits as say something.
 * @param {number | null | undefined} value
 */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** A number with its sign. @param {number} value */
export const signed = (value) => `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`;

/**
 * A number of any size: whole ones whole, small ones with the digits that tell them from 0.
 * @param {number} value
 */
function anyNumber(value) {
  const size = Math.abs(value);
  if (size >= 1e9 || (size > 0 && size < 0.001)) return value.toExponential(1);
  if (Number.isInteger(value) || size >= 1000) return value.toLocaleString('en', { maximumFractionDigits: 0 });
  return size < 0.01 ? value.toFixed(4) : number(value);
}

/**
 * What an analyser found: a number with its unit, or a text in quotation marks.
 * @param {number | string | null | undefined} value
 * @param {{unit: string}} [info]
 */
export function analysis(value, info) {
  if (typeof value === 'string') return quoted(value);
  return value === null || value === undefined ? '–' : `${anyNumber(value)} ${info?.unit ?? ''}`.trim();
}

/** @param {number | null | undefined} share  0..1 */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return '–';
  const value = share * 100;
  return `${value !== 0 && Math.abs(value) < 10 ? value.toFixed(value < 0.1 ? 3 : 1) : value.toFixed(0)} %`;
}

/** @param {number} bytes */
export function size(bytes) {
  for (const [unit, scale] of /** @type {[string, number][]} */ ([
    ['GB', 1e9],
    ['MB', 1e6],
    ['KB', 1e3],
  ])) {
    if (bytes >= scale) return `${(bytes / scale).toFixed(bytes >= 10 * scale ? 0 : 1)} ${unit}`;
  }
  return `${bytes} B`;
}

/**
 * How far a download has come: "123 of 548 MB, 22 %".
 * @param {number} done
 * @param {number} total
 */
export function progressOf(done, total) {
  const share = total ? ` (${Math.floor((100 * done) / total)} %)` : '';
  return `${size(done)} of ${size(total)}${share}`;
}

/** A family of models as people call it. @param {string} family */
export const familyName = (family) =>
  ({ gpt2: 'GPT-2', pythia: 'Pythia', gemma2: 'Gemma 2', 'your own': 'Your own' })[family] ?? family;

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString('en')} ${count === 1 ? one : many}`;

/**
 * A hook point in a few words: "layer 2, after the block" for blocks.2.hook_resid_post.
 * @param {string} hook
 */
export function hookName(hook) {
  const found = /^blocks\.(\d+)\.(.+)$/.exec(hook);
  if (!found) return hook;
  /** @type {Record<string, string>} */
  const places = {
    hook_resid_pre: 'before the block',
    hook_resid_mid: 'between attention and MLP',
    hook_resid_post: 'after the block',
    hook_attn_out: 'attention output',
    hook_mlp_out: 'MLP output',
  };
  return `layer ${found[1]}, ${places[found[2]] ?? found[2]}`;
}

/** The layer of a hook point; one outside of the layers comes last. @param {string} hook */
export const layerOf = (hook) => Number(/^blocks\.(\d+)\./.exec(hook)?.[1] ?? Infinity);

/** @param {Sae | undefined} sae @param {string} id */
export const saeName = (sae, id) => (sae?.hook ? hookName(sae.hook) : id);

/**
 * When something happened, short: the time today, the date before.
 * @param {string} iso
 * @param {Date} [now]
 */
export function moment(iso, now = new Date()) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return '';
  if (date.toDateString() === now.toDateString()) {
    return date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  }
  return date.toLocaleDateString([], {
    day: 'numeric',
    month: 'short',
    year: date.getFullYear() === now.getFullYear() ? undefined : 'numeric',
  });
}

/**
 * A kind of edge by its name, or by one that it had in earlier versions.
 * @param {string} name
 * @returns {EdgesBy}
 */
export function edgesFrom(name) {
  if (name === 'co-activation' || name === 'count') return 'co-activation';
  return name === 'similarity' || name === 'attribution' ? name : 'association';
}

/**
 * How much of what is drawn chance would give.
 * @param {Graph | null} graph
 */
export function edgesWords(graph) {
  if (!graph || !graph.nodes.length) return '';
  if (graph.why) return graph.why;
  const { edges, edges_total: total, expected, by, chance } = graph;
  const drawn = `${counted(edges.length, 'edge')} drawn${total > edges.length ? ` of ${total.toLocaleString('en')}` : ''}`;
  const from = chance && expected !== null ? ' from shifted features' : '';
  if (expected === null) return `${drawn}.`;
  const most = by === 'association' ? 'at most about' : 'about';
  const by_chance = expected >= 10 ? Math.round(expected).toLocaleString('en') : expected.toFixed(1);
  return `${drawn}${from}; ${most} ${by_chance} expected by chance.`;
}
