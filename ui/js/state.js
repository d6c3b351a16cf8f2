// @ts-check
// ONE state, one list of events, one cursor. Panels read the state, change it through the verbs below and listen to the
// events; no panel knows another. Everything on screen is a function of the steps 0..t of the session on screen.

import { Marks } from './marks.js';
import { recall, remember } from './remember.js';
import { edgesFrom, layerOf, saeName } from './words.js';
import { emptySession, firstPosition, isTransient, lastPosition, receive, rename, renameIn } from './session.js';

/** @import { EdgesBy, Engine, ErrorRecord, Graph, Hello, LabelSet, Message, Name, Problem, Sae } from './types.js' */
/** @import { FeatureId, Mark } from './marks.js' */
/** @import { SessionRow, Step, Training, WhyEvent } from './types.js' */
/** @import { Names, Session } from './session.js' */

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
  'names', // features of the session on screen are called otherwise
  'label_set', // of the SAE on screen: how many labels are here, and the fetching of all of them
  'feature', // another feature is inspected
  'known', // there may be more to know of the inspected feature
  'hover', // the pointer is on another feature
  'marks', // features were pinned or muted, or no longer
  'choice', // model, SAEs, shown SAE, kind of edges, threshold, coloring, ...
  'view', // how many nodes and edges are drawn, what is listed, motion: see VIEW
  'theme', // dark or light
  'said', // something was done, or is no longer worth saying
  'typing', // the prompt is read while it is typed, or no longer, or cannot be
  'first', // the first look begins or is over
  'steering', // the next run is steered otherwise
  'training', // an SAE has got on, or is trained
  'calibration', // of an SAE has got on
  'why', // a question why a token came has got on, or is answered
  'parent', // the next run goes on from another session, or no longer
]);
/** @typedef {typeof EVENTS[number]} EventName */

/** Choices of the view that stay, and what they are until the user says otherwise. */
export const VIEW = {
  nodes: 300, // drawn at once, at most
  edgesPerNode: 3, // drawn, at most
  names: 12, // beside dots, at most
  alwaysEdges: false, // features that fire at nearly every token have edges too
  sortBy: 'activation', // or "effect": order of the active features
  hideAlways: false, // features that fire at nearly every token are not listed
  motion: 'system', // or "less"
  expected: globalThis.innerHeight > 700, // what the model expected next is shown
};
/** @typedef {typeof VIEW} View */

/**
 * What the next run does with a feature, in units of the feature's known maximum, from a position on.
 * @typedef {{sae: string, feature: number, name: string, kind: "add" | "set" | "ablate", times: number, start: number}} Steer
 */

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
  /** @type {(() => void) | null} does again what failed */ retry = null;
  /** @type {Problem[]} */ problems = [];

  // -- the session on screen
  /** @type {SessionRow[]} newest first */ sessions = [];
  /** @type {boolean} */ moreSessions = false;
  /** @type {number} that all sessions take on disk */ sessionsBytes = 0;
  /** @type {{text: string, pinned: boolean}} what the list is narrowed to */ search = { text: '', pinned: false };
  /** @type {{text: string, remedy?: {word: string, act: () => void}} | null} */ said = null;
  /** @type {{session: string, position: number, title: string} | null} where the next run goes on from */ parent =
    null;
  /** @type {Session | null} */ session = null;
  /** @type {{session: Session, t: number} | null} what was on screen before a prompt was read while typed */ before =
    null;
  /** @type {string} why what is typed is not read */ unread = '';
  /** @type {number} the cursor, a position; -1 = nothing yet */ t = -1;
  /** @type {boolean} the cursor follows the end */ following = true;
  /** @type {boolean} the cursor moves by itself */ playing = false;
  /** @type {number} tokens a second while playing */ speed = 8;
  /** @type {string} uid of the recorded session that the very first start plays, "" once that is over */ first = '';
  /** @type {Graph | null} */ graph = null;

  /** @type {Map<string, Names>} names that came as events, by SAE: they outdate what was asked for before */
  names = new Map();
  /** @type {number} features that got a description while their session was on screen */ described = 0;
  /** @type {Map<string, LabelSet>} by SAE */ labelSets = new Map();

  // -- what the user chose
  /** @type {string} for the next run */ model = '';
  /** @type {string[]} for the next run */ saes = [];
  /** @type {string} the SAE on screen */ sae = '';
  /** @type {FeatureId | null} */ feature = null;
  /** @type {FeatureId | null} */ hover = null;
  /** pinned and muted features */ marks = new Marks();
  /** @type {View} */ view = recallView();
  /** @type {boolean} all SAEs of the session are on screen at once */ together = recall('together', false);
  /** @type {string} what the names of listed features must hold */ filter = '';
  /** @type {Steer[]} of the next run */ steers = [];
  /** @type {Training | null} the SAE that is trained, or was last */ training = null;
  /** @type {WhyEvent | null} the last news of a question */ why = null;
  /** @type {EdgesBy} */ edgesBy = edgesFrom(recall('edgesBy', ''));
  /** Whether edges are those of shifted features. */ chance = false;
  /** @type {boolean} the prompt is read while it is typed */ typing = recall('typing', false);
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
    if (!isTransient(session)) this.before = null;
    this.session = session;
    this.following = following;
    this.playing = false;
    this.t = lastPosition(session);
    this.graph = null;
    this.hover = null;
    this.#fitSae();
    this.name(session);
    this.emit('session', 'steps', 'cursor', 'graph', 'hover', 'choice');
  }

  /** Takes the session off the screen. */
  clear() {
    this.session = null;
    this.t = -1;
    this.graph = null;
    this.playing = false;
    this.inspect(null);
    this.emit('session', 'steps', 'cursor', 'graph', 'hover', 'choice');
  }

  /** Puts a session on screen that lasts only while its prompt is typed. @param {Session} session */
  glance(session) {
    const { sae } = this;
    const graph = isTransient(this.session) ? this.graph : null;
    if (!isTransient(this.session)) this.before = this.session && { session: this.session, t: this.t };
    this.show(session, true);
    if (this.sae === sae) this.graph = graph; // until the new one is here, so that nothing blinks at each word
  }

  /** Puts back what was on screen before that. */
  glanceBack() {
    if (!isTransient(this.session)) return;
    if (!this.before) return this.clear();
    const { session, t } = this.before;
    this.show(session, false);
    this.moveTo(t);
  }

  /** A session is no longer there. @param {string} uid */
  forget(uid) {
    if (this.before?.session.uid === uid) this.before = null;
    if (this.session?.uid === uid) this.clear();
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
    for (const message of changed) if (message.kind === 'step') this.#nameStep(message);
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

  /** Gives a session from the program the names that came while it was asked for. @param {Session} session */
  name(session) {
    for (const [sae, names] of this.names) renameIn(session, sae, names);
  }

  /** @param {Step} step */
  #nameStep(step) {
    for (const [sae, { features }] of Object.entries(step.saes)) rename(features, this.names.get(sae) ?? new Map());
  }

  /** The SAE on screen must be one that the session was read with. */
  #fitSae() {
    const offered = this.session?.start?.saes ?? this.saes;
    if (!offered.includes(this.sae)) {
      const best =
        this.hello?.models.find((model) => model.id === (this.session?.start?.model ?? this.model))?.sae ?? '';
      this.sae = offered.includes(best) ? best : (offered[0] ?? '');
      if (this.feature && !this.shown.includes(this.feature.sae)) this.inspect(null);
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

  /** @param {number} speed  tokens a second */
  playAt(speed) {
    this.speed = speed;
    this.emit('cursor');
  }

  /** The very first start plays a session, or no longer. @param {string} uid */
  lookFirst(uid) {
    if (this.first === uid) return;
    this.first = uid;
    this.emit('first');
  }

  // -- verbs: what features are called --------------------------------------------------------------------------------

  /**
   * Features have new names, wherever they stand.
   * @param {string} sae
   * @param {Record<string, Name>} labels   by feature
   */
  rename(sae, labels) {
    const names = new Map(Object.entries(labels).map(([feature, name]) => [Number(feature), name]));
    const known = this.names.get(sae) ?? new Map();
    this.names.set(sae, known);
    for (const [feature, name] of names) known.set(feature, name);
    if (this.live && this.live !== this.session) renameIn(this.live, sae, names);
    const renamed = this.session ? renameIn(this.session, sae, names) : new Set();
    if (this.graph) renameNodes(this.graph, sae, names);
    for (const feature of renamed) if (isNews(names.get(feature))) this.described++;
    if (renamed.size) this.emit('names');
    if (this.feature?.sae === sae && names.has(this.feature.feature)) this.emit('known');
  }

  /** @param {Graph} graph  of the session and SAEs on screen */
  draw(graph) {
    for (const [sae, names] of this.names) renameNodes(graph, sae, names);
    this.graph = graph;
    this.emit('graph');
  }

  /** The label set of the SAE on screen. */
  get labelSet() {
    return this.labelSets.get(this.sae);
  }

  /** @param {LabelSet} set */
  takeLabelSet(set) {
    this.labelSets.set(set.sae, set);
    if (set.sae === this.sae) this.emit('label_set');
  }

  // -- verbs: choices ------------------------------------------------------------------------------------------------

  /**
   * @param {number | null} feature
   * @param {string} [sae]   of the feature; by itself that on screen
   */
  inspect(feature, sae = this.sae) {
    this.feature = feature === null ? null : { sae, feature };
    this.emit('feature');
  }

  /**
   * Goes to a feature of any SAE: one that the session on screen was read with comes on screen too.
   * @param {string} sae
   * @param {number} feature
   */
  jump(sae, feature) {
    if (this.session?.start?.saes.includes(sae) && !this.shown.includes(sae)) this.showSae(sae);
    this.inspect(feature, sae);
  }

  /** @param {number | null} feature @param {string} [sae] */
  point(feature, sae = this.sae) {
    if (this.hover ? this.hover.feature === feature && this.hover.sae === sae : feature === null) return;
    this.hover = feature === null ? null : { sae, feature };
    this.emit('hover');
  }

  /**
   * Pins or mutes a feature, or no longer.
   * @param {Mark} mark
   * @param {FeatureId} id
   */
  mark(mark, { sae, feature }) {
    this.marks.toggle(mark, sae, feature);
    this.emit('marks');
  }

  /** Lists and draws muted features again. */
  unmute() {
    this.marks.clear('muted', this.shown);
    this.emit('marks');
  }

  /** What the program offers of an SAE. @param {string} id */
  saeOf(id) {
    return this.hello?.saes.find((sae) => sae.id === id);
  }

  /** What an SAE is called. @param {string} id */
  saeName(id) {
    return saeName(this.saeOf(id), id);
  }

  /** The SAEs on screen, in the order in which the model computes. */
  get shown() {
    const all = this.session?.start?.saes ?? [];
    if (!this.together || all.length < 2) return [this.sae];
    const layer = (/** @type {string} */ id) => layerOf(this.saeOf(id)?.hook ?? '');
    return [...all].sort((x, y) => layer(x) - layer(y));
  }

  /** @param {string} sae */
  showSae(sae) {
    if (this.sae === sae && !this.together) return;
    this.together = false;
    remember('together', false);
    this.#showOther();
    this.sae = sae;
  }

  /** All SAEs of the session on screen at once. */
  showTogether() {
    this.together = true;
    remember('together', true);
    this.#showOther();
  }

  #showOther() {
    this.graph = null;
    this.hover = null;
    this.inspect(null);
    this.emit('choice', 'graph', 'label_set', 'hover');
  }

  /** @param {Partial<View>} changes  of what stays */
  look(changes) {
    Object.assign(this.view, changes);
    for (const [name, value] of Object.entries(changes)) remember(name, value);
    this.emit('view');
  }

  /** @param {string} text */
  listNamed(text) {
    this.filter = text;
    this.emit('choice');
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

  /** @param {boolean} chance */
  showChance(chance) {
    this.chance = chance;
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

  /** Whether prompts are read while they are typed. @param {boolean} typing */
  readAlong(typing) {
    this.typing = typing;
    remember('typing', typing);
    this.emit('typing');
  }

  /** What is typed cannot be read. @param {string} why   "" = it can */
  leaveUnread(why) {
    if (this.unread === why) return;
    this.unread = why;
    this.emit('steps');
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

  /** Something was done. @param {string} text  "" = no more  @param {{word: string, act: () => void}} [remedy] */
  say(text, remedy) {
    this.said = text ? { text, remedy } : null;
    this.emit('said');
  }

  /** Has the next run do something with a feature, in place of what it was to do with it. @param {Steer} steer */
  steer(steer) {
    const others = this.steers.filter(({ sae, feature }) => sae !== steer.sae || feature !== steer.feature);
    this.steers = [...others, steer];
    this.emit('steering');
  }

  /** @param {number} [i]   which; left out: all */
  steerNoMore(i) {
    this.steers = i === undefined ? [] : this.steers.filter((_, j) => j !== i);
    this.emit('steering');
  }

  /** @param {Training | null} training */
  train(training) {
    this.training = training;
    this.emit('training');
  }

  /** @param {WhyEvent} why */
  takeWhy(why) {
    this.why = why;
    this.emit('why');
  }

  /** Where the next run goes on from. @param {State['parent']} parent */
  branch(parent) {
    this.parent = parent;
    this.emit('parent');
  }

  /** @param {ErrorRecord | null} failure @param {(() => void) | null} [retry]  does again what failed */
  fail(failure, retry = null) {
    this.failure = failure;
    this.retry = retry;
    this.emit('failure');
  }
}

/** @param {Graph} graph @param {string} sae @param {Names} names */
const renameNodes = (graph, sae, names) =>
  rename(
    graph.nodes.filter((node) => node.sae === sae),
    names,
  );

/** What was remembered of the view. @returns {View} */
function recallView() {
  const entries = Object.entries(VIEW).map(([name, usual]) => [name, recall(name, usual)]);
  return Object.fromEntries(entries);
}

/** Whether this is something to tell: a description that the user did not write. @param {Name | undefined} name */
const isNews = (name) => name?.label_state === 'labelled' && name.label_origin !== 'you';
