// @ts-check
// The way to the program: one `call`, whether the page runs in AXON's window or in a browser, and the loop that pulls
// events. Nothing else in the page knows which of the two it is.

/** @import { ErrorRecord } from './types.js' */

/** @typedef {(method: string, params?: Record<string, unknown>) => Promise<any>} Call */
/** @typedef {{call: Call, inWindow: boolean}} Bridge */

/** What a call throws: the program said no (kind, message, hint), or could not be reached (kind "disconnected"). */
export class CallError extends Error {
  /** @param {{kind: string, message: string, hint?: string}} record */
  constructor({ kind, message, hint = '' }) {
    super(message);
    this.kind = kind;
    this.hint = hint;
  }
}

/** @param {unknown} error @returns {ErrorRecord} */
export function asRecord(error) {
  if (error instanceof CallError) return { kind: error.kind, message: error.message, hint: error.hint };
  return { kind: 'page', message: String(error), hint: '' };
}

/**
 * What a task gives; where it fails the user is told, and it gives nothing.
 * @template T
 * @param {{fail: (failure: ErrorRecord) => void}} state
 * @param {() => Promise<T>} task
 * @returns {Promise<T | undefined>}
 */
export async function attempt(state, task) {
  try {
    return await task();
  } catch (error) {
    state.fail(asRecord(error));
  }
}

/** A failure that the next event repairs, or that the connection banner shows anyway. @param {unknown} error */
export function quietly(error) {
  if (!(error instanceof CallError)) throw error;
}

/**
 * The bridge of the place that the page was opened in.
 * @returns {Promise<Bridge>}
 */
export async function connect() {
  if (location.hash.startsWith('#window') || /** @type {any} */ (window).pywebview) {
    const api = await windowApi();
    return { call: (method, params) => callWindow(api, method, params), inWindow: true };
  }
  const token = takeToken();
  return { call: (method, params) => callServer(token, method, params), inWindow: false };
}

// -- in a browser: HTTP to the loopback server ---------------------------------------------------------------------

/** The token of this run: from the address, where it does not stay, or from before a reload. */
function takeToken() {
  const found = /^#t=(.+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem('axon.token', found[1]);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return found?.[1] ?? sessionStorage.getItem('axon.token') ?? '';
}

/**
 * @param {string} token
 * @param {string} method
 * @param {Record<string, any>} [params]
 */
async function callServer(token, method, params = {}) {
  let response;
  try {
    response = await fetch('/api/call', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Axon-Token': token },
      body: JSON.stringify({ method, params }),
      keepalive: method === 'keep' || method === 'remember', // they may be asked while the page is being closed
      signal: AbortSignal.timeout(((params.wait ?? 0) + 20) * 1000),
    });
  } catch {
    throw unreachable();
  }
  if (response.status === 401) {
    throw new CallError({
      kind: 'token',
      message: 'This page does not belong to the AXON Shell that is running.',
      hint: 'Open the address that it printed when it started.',
    });
  }
  return opened(await response.json().catch(() => null), response.status);
}

const unreachable = () =>
  new CallError({
    kind: 'disconnected',
    message: 'AXON Shell does not answer.',
    hint: 'It may have been closed. The page goes on by itself when it is back.',
  });

// -- in the window: pywebview's JavaScript API ---------------------------------------------------------------------

/** pywebview's object, once it is there: it is put into the page a moment after loading. */
function windowApi() {
  const api = () => /** @type {any} */ (window).pywebview?.api;
  return new Promise((resolve) => {
    const look = () => {
      if (!api()?.call) return false;
      clearInterval(timer);
      resolve(api());
      return true;
    };
    const timer = setInterval(look, 50); // the event is lost when it came before this line
    window.addEventListener('pywebviewready', look, { once: true });
    look();
  });
}

/**
 * @param {any} api
 * @param {string} method
 * @param {Record<string, unknown>} [params]
 */
async function callWindow(api, method, params = {}) {
  return opened(JSON.parse(await api.call(method, JSON.stringify(params))), 200);
}

/**
 * The value inside an answer; throws what the program refused with.
 * @param {any} answer
 * @param {number} status
 */
function opened(answer, status) {
  if (answer?.ok === true) return answer.value;
  if (answer?.ok === false) throw new CallError(answer.error);
  throw new CallError({ kind: 'server', message: `AXON Shell gave no proper answer (HTTP ${status}).` });
}

// -- events --------------------------------------------------------------------------------------------------------

const PAUSES = [0.3, 0.5, 1, 2, 4, 8]; // seconds between tries while disconnected

/**
 * Pulls events for ever, in order, and tells when the connection is lost and when it is back.
 * @param {Bridge} bridge
 * @param {number} after   the last event that is known already
 * @param {object} on
 * @param {(events: any[]) => void} on.events
 * @param {(error: CallError) => void} on.lost
 * @param {() => Promise<number>} on.back   catches up after a gap and returns the last event known then
 */
export async function pull(bridge, after, on) {
  const wait = bridge.inWindow ? 1 : 10; // a call in the window holds a thread: keep it short
  let failures = 0;
  for (;;) {
    try {
      if (failures) {
        after = await on.back();
        failures = 0;
      }
      const answer = await bridge.call('next_events', { after, max: 200, wait });
      if (answer.missed) {
        after = await on.back();
        continue;
      }
      after = answer.last;
      if (!answer.events.length) continue;
      on.events(answer.events);
      await frame();
    } catch (error) {
      on.lost(error instanceof CallError ? error : new CallError({ kind: 'page', message: String(error) }));
      await new Promise((resolve) => setTimeout(resolve, 1000 * PAUSES[Math.min(failures++, PAUSES.length - 1)]));
    }
  }
}

/** Until the next picture, so that a fast model is drawn once per frame. A hidden page has no frames, but goes on. */
const frame = () =>
  new Promise((resolve) => (document.hidden ? setTimeout(resolve, 30) : requestAnimationFrame(resolve)));
