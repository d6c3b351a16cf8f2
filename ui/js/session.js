// @ts-check
// A session as the page holds it, and the reducer that builds it from messages. Pure: live events and replay both pass
// through here, and a message that arrives twice changes nothing.

import { highestUpTo } from './firings.js';
export { activationsOf } from './firings.js';

/** @import { End, Message, Name, Named, Start, Step } from './types.js' */

/**
 * @typedef {object} Session
 * @property {string} uid
 * @property {Start | null} start
 * @property {Step[]} steps   by position; a hole is a step that has not arrived yet
 * @property {End | null} end
 */

/**
 * @param {string} uid
 * @returns {Session}
 */
export function emptySession(uid) {
  return { uid, start: null, steps: [], end: null };
}

/**
 * Takes a message into the session and tells whether that changed anything.
 * @param {Session} session
 * @param {Message} message
 * @returns {boolean}
 */
export function receive(session, message) {
  switch (message.kind) {
    case 'start':
      if (session.start) return false;
      session.start = message;
      return true;
    case 'step':
      if (session.steps[message.position]) return false;
      session.steps[message.position] = message;
      linkToNext(session.steps, message);
      return true;
    case 'end':
      if (session.end) return false;
      session.end = message;
      return true;
    default:
      return false;
  }
}

/**
 * A step is sent when it is computed, which can be before the token after it is chosen; the next step tells.
 * @param {Step[]} steps
 * @param {Step} step
 */
function linkToNext(steps, step) {
  const before = steps[step.position - 1];
  if (before && !before.next) before.next = { token_id: step.token_id, text: step.piece };
  const after = steps[step.position + 1];
  if (after && !step.next) step.next = { token_id: after.token_id, text: after.piece };
}

/** Whether it is a reading while the prompt is typed, which is stored nowhere. @param {Session | null} session */
export const isTransient = (session) => session?.start?.transient === true;

/**
 * Whether a session is of this prompt, read by this model and these SAEs.
 * @param {Session | null} session
 * @param {string} prompt
 * @param {string} model
 * @param {string[]} saes
 */
export function isOf(session, prompt, model, saes) {
  const start = session?.start;
  return start?.prompt === prompt && start.model === model && start.saes.join() === saes.join();
}

/**
 * The last position up to which every step has arrived; -1 before the first.
 * @param {Session} session
 */
export function lastPosition(session) {
  return session.steps.length - 1;
}

/**
 * Where reading begins: the first position after BOS.
 * @param {Session} session
 */
export function firstPosition(session) {
  return session.steps[0]?.is_bos && session.steps.length > 1 ? 1 : 0;
}

/**
 * The steps that count: up to and including `t`, without BOS.
 * @param {Session} session
 * @param {number} t
 * @returns {Step[]}
 */
export function stepsUpTo(session, t) {
  return session.steps.slice(0, t + 1).filter((step) => step && !step.is_bos);
}

/**
 * What one SAE says at a position.
 * @param {Session | null} session
 * @param {string} sae
 * @param {number} t
 */
export function readingAt(session, sae, t) {
  return session?.steps[t]?.saes[sae] ?? null;
}

/**
 * The strongest activation of any feature up to `t`: what bars and colors are measured against.
 * @param {Session | null} session
 * @param {string} sae
 * @param {number} t
 */
export function strongestUpTo(session, sae, t) {
  return session ? highestUpTo(session.steps, sae, t) : 0;
}

/** @typedef {Map<number, Name>} Names  by feature of one SAE */

/**
 * Gives those in the list whose name is known that name.
 * @param {Named[]} list
 * @param {Names} names
 * @param {Set<number>} [renamed]   takes the features that were called otherwise
 */
export function rename(list, names, renamed) {
  for (const named of list) {
    const name = names.get(named.feature);
    if (!name) continue;
    if (named.label !== name.label || named.label_state !== name.label_state) renamed?.add(named.feature);
    named.label = name.label;
    named.label_state = name.label_state;
    named.label_origin = name.label_origin;
  }
}

/**
 * Renames features of an SAE in all steps. Returns those that were called otherwise.
 * @param {Session} session
 * @param {string} sae
 * @param {Names} names
 */
export function renameIn(session, sae, names) {
  /** @type {Set<number>} */
  const renamed = new Set();
  for (const step of session.steps) rename(step?.saes[sae]?.features ?? [], names, renamed);
  return renamed;
}

/**
 * The features of an SAE that fired anywhere in the session, each once.
 * @param {Session} session
 * @param {string} sae
 */
export function featuresOf(session, sae) {
  const features = session.steps.flatMap((step) => step?.saes[sae]?.features ?? []);
  return [...new Set(features.map((active) => active.feature))];
}

/**
 * What a feature is called in the session, if it fired there.
 * @param {Session | null} session
 * @param {string} sae
 * @param {number} feature
 * @returns {Name | null}
 */
export function nameIn(session, sae, feature) {
  for (const step of session?.steps ?? []) {
    const found = step?.saes[sae]?.features.find((active) => active.feature === feature);
    if (found) return found;
  }
  return null;
}

/**
 * Tokens a second: of the whole run once it ended, of the last ten new tokens before.
 * @param {Session | null} session
 * @returns {number | null}
 */
export function tokensPerSecond(session) {
  if (!session) return null;
  if (session.end) return session.end.ms_per_token ? 1000 / session.end.ms_per_token : null;
  const recent = session.steps.filter((step) => step && !step.is_prompt).slice(-10);
  const ms = recent.reduce((sum, step) => sum + step.ms, 0);
  return ms > 0 ? (1000 * recent.length) / ms : null;
}
