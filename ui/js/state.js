// @ts-check
// ONE state, one list of events, one cursor. Panels read the state, change it through the verbs below and listen to the
// events; no panel knows another. Everything on screen is a function of the steps 0..t of the session on screen.

import { recall, remember } from './remember.js';
import { emptySession, firstPosition, lastPosition, receive } from './session.js';

/** @import { EdgesBy, Engine, ErrorRecord, Graph, Hello, Message, Problem, Sae, SessionRow } from './types.js' */
/** @import { Session } from './session.js' */

/** Everything that can happen. An event says that something changed; what it is now stands in the state. */
export const EVENTS = /** @type {const} */ ([
  'hello', // the program introduced itself: models, SAEs, settings, problems
  'connection', // connected, disconnected
  'engine', // loading stages, ready, running, failed
  'running', // a run was asked for, began or ended
  'failure', // something to say beside the prompt, or no longer
  'problems', // something is not as it should be and stops nothing
  'sessions', // the list of past sessions
  'session', // another session is on screen
  'steps', // the session on screen grew or ended
  'cursor', // t moved, playing or following changed
  'graph', // nodes and edges up to the cursor arrived
  'feature', // another feature is inspected
  'hover', // the pointer is on another feature
  'choice', // model, SAEs, shown SAE, kind of edges, threshold, coloring, ...
  'theme', // dark or light
]);
/** @typedef {typeof EVENTS[number]} EventName */

/** @typedef {string} ColorBy  "feature", "unexplained", or an analysis as `byAnalysis` writes it */

export class State {
  // -- the program
  /** @type {Hello | null} */ hello = null;
  /** @type {"connecting" | "connected" | "disconnected"} */ connection = 'connecting';
  /** @type {ErrorRecord | null} */ connectionError = null;
  /** @type {Engine | null} */ engine = null;
  /** @type {string[]} stages of the loading under way, in order */ stages = [];

  // -- the run under way
  /** @type {boolean} a run was asked for and has not ended */ running = false;
  /** @type {Session | null} */ live = null;
  /** @type {ErrorRecord | null} */ failure = null;
  /** @type {Problem[]} */ problems = [];

  // -- the session on screen
  /** @type {SessionRow[]} newest first */ sessions = [];
  /** @type {boolean} */ moreSessions = false;
  /** @type {Session | null} */ session = null;
  /** @type {number} the cursor, a position; -1 = nothing yet */ t = -1;
  /** @type {boolean} the cursor follows the end */ following = true;
  /** @type {boolean} the cursor moves by itself */ playing = false;
  /** @type {number} tokens a second while playing */ speed = 8;
  /** @type {Graph | null} */ graph = null;

  // -- what the user chose
  /** @type {string} for the next run */ model = '';
  /** @type {string[]} for the next run */ saes = [];
  /** @type {string} the SAE on screen */ sae = '';
  /** @type {{sae: string, feature: number} | null} */ feature = null;
  /** @type {number | null} */ hover = null;
  /** @type {EdgesBy} */ edgesBy = recall('edgesBy', /** @type {EdgesBy} */ ('lift'));
  /** @type {number} activations below are not listed */ threshold = 0;
  /** @type {ColorBy} */ colorBy = recall('colorBy', 'feature');

  /** @type {Map<EventName, (() => void)[]>} */ #listeners = new Map(EVENTS.map((event) => [event, []]));
  /** @type {Set<EventName>} */ #due = new Set();

  /**
   * Calls `listener` after any of the events; once for all that belong together.
   * @param {EventName | EventName[]} events
   * @param {() => void} listener
   */
  on(events, listener) {
    for (const event of [events].flat()) this.#listeners.get(event)?.push(listener);
  }

  /** @param {...EventName} events */
  emit(...events) {
    if (!this.#due.size) queueMicrotask(() => this.#tell()); // when the verb or handler under way is done
    for (const event of events) this.#due.add(event);
  }

  /** Tells the listeners what is due, each once. */
  #tell() {
    const due = [...this.#due];
    this.#due.clear();
    const listeners = new Set(due.flatMap((event) => this.#listeners.get(event) ?? []));
    for (const listener of listeners) listener();
  }

  // -- verbs: the session on screen ----------------------------------------------------------------------------------

  /**
   * Puts a session on screen, with the cursor at its end.
   * @param {Session} session
   * @param {boolean} following
   */
  show(session, following) {
    this.session = session;
    this.following = following;
    this.playing = false;
    this.t = lastPosition(session);
    this.graph = null;
    this.hover = null;
    this.#fitSae();
    this.emit('session', 'steps', 'cursor', 'graph', 'hover', 'choice');
  }

  /**
   * Takes messages of a run under way. The session comes on screen when it starts.
   * @param {string} uid
   * @param {Message[]} messages
   */
  receiveLive(uid, messages) {
    if (this.live?.uid !== uid) this.live = this.session?.uid === uid ? this.session : emptySession(uid);
    const session = this.live;
    const changed = messages.filter((message) => receive(session, message));
    if (!changed.length) return;
    if (changed.some((message) => message.kind === 'start')) this.show(session, true);
    if (session.end) {
      this.live = null;
      this.running = false;
      this.emit('running');
    } else if (!this.running) {
      this.running = true;
      this.emit('running');
    }
    if (session !== this.session) return;
    if (this.following) this.t = lastPosition(session);
    this.emit('steps', 'cursor');
  }

  /** The SAE on screen must be one that the session was read with. */
  #fitSae() {
    const offered = this.session?.start?.saes ?? this.saes;
    if (!offered.includes(this.sae)) {
      const best =
        this.hello?.models.find((model) => model.id === (this.session?.start?.model ?? this.model))?.sae ?? '';
      this.sae = offered.includes(best) ? best : (offered[0] ?? '');
      if (this.feature && this.feature.sae !== this.sae) this.inspect(null);
    }
  }

  // -- verbs: the cursor ---------------------------------------------------------------------------------------------

  /** @param {number} t */
  moveTo(t) {
    if (!this.session) return;
    const last = lastPosition(this.session);
    this.t = Math.max(Math.min(0, last), Math.min(last, t));
    this.following = false;
    this.emit('cursor');
  }

  /** Goes with the end again; with the run under way where there is one. */
  follow() {
    if (this.live && this.live !== this.session) return this.show(this.live, true);
    if (!this.session) return;
    this.t = lastPosition(this.session);
    this.following = true;
    this.playing = false;
    this.emit('cursor');
  }

  /** @param {boolean} playing */
  play(playing) {
    if (playing && this.session && this.t >= lastPosition(this.session)) this.moveTo(firstPosition(this.session));
    this.playing = playing;
    if (playing) this.following = false;
    this.emit('cursor');
  }

  // -- verbs: choices ------------------------------------------------------------------------------------------------

  /** @param {number | null} feature  of the SAE on screen */
  inspect(feature) {
    this.feature = feature === null ? null : { sae: this.sae, feature };
    this.emit('feature');
  }

  /** @param {number | null} feature */
  point(feature) {
    if (this.hover === feature) return;
    this.hover = feature;
    this.emit('hover');
  }

  /** @param {string} sae */
  showSae(sae) {
    if (this.sae === sae) return;
    this.sae = sae;
    this.graph = null;
    this.inspect(null);
    this.emit('choice', 'graph');
  }

  /**
   * What the next run uses.
   * @param {string} model
   * @param {string[]} saes
   */
  choose(model, saes) {
    this.model = model;
    this.saes = saes;
    this.#fitSae();
    this.emit('choice');
  }

  /** Remembers an SAE that was found in the catalogue. @param {Sae} sae */
  know(sae) {
    if (this.hello && !this.hello.saes.some((known) => known.id === sae.id)) this.hello.saes.push(sae);
  }

  /** A model or SAE has been downloaded. @param {string} id */
  installed(id) {
    for (const one of [...(this.hello?.models ?? []), ...(this.hello?.saes ?? [])]) {
      if (one.id === id) one.installed = true;
    }
    this.emit('choice');
  }

  /** @param {EdgesBy} by */
  connectBy(by) {
    this.edgesBy = by;
    remember('edgesBy', by);
    this.emit('choice');
  }

  /** @param {ColorBy} by */
  colorTokensBy(by) {
    this.colorBy = by;
    remember('colorBy', by);
    this.emit('choice');
  }

  /** @param {number} threshold */
  listAbove(threshold) {
    this.threshold = threshold;
    this.emit('choice');
  }

  /** Something that stops nothing; the same one is told once. @param {Problem[]} found */
  tell(...found) {
    const fresh = found.filter(
      ({ name, message }) => !this.problems.some((known) => known.name === name && known.message === message),
    );
    this.problems = [...this.problems, ...fresh];
    if (fresh.length) this.emit('problems');
  }

  /** @param {ErrorRecord | null} failure */
  fail(failure) {
    this.failure = failure;
    this.emit('failure');
  }
}
