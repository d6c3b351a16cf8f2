// @ts-check
// What the page asks of the program, and what it makes of the events that come back.

import { CallError, asRecord, attempt, pull, quietly } from './bridge.js';
export { asRecord } from './bridge.js';
import { createLabelActions } from './label-actions.js';
import { createSessionActions } from './session-actions.js';
import { joined } from './graph/joined.js';
import { emptySession, lastPosition, receive, stepsUpTo } from './session.js';

/** @import { Bridge } from './bridge.js' */
/** @import { Session } from './session.js' */
/** @import { State } from './state.js' */
/** @import { Engine, ErrorRecord, Event, FeatureRecord, Hello, Message, NamesEvent, Sae } from './types.js' */
/** @import { SessionRow, Start } from './types.js' */

const PAGE = 500; // messages a call
const KEPT_AFTER = 300; // ms
const MENDED_BY_HAND = ['prompt', 'invalid_setting']; // failures of a run that trying again does not mend
const GRAPH_EVERY = 130; // ms between two graphs while tokens stream in

/**
 * @param {State} state
 * @param {Bridge} bridge
 */
export function createActions(state, bridge) {
  const { call } = bridge;
  const labels = createLabelActions(state, call);
  const sessions = createSessionActions(state, call);
  const { refreshSessions } = sessions;

  // -- beginning ---------------------------------------------------------------------------------------------------

  /**
   * Says hello and puts the live or the last session on screen. Returns the last event known then.
   * @param {Hello | null} [said]   the program's answer, where it was asked already
   */
  async function begin(said = null) {
    const hello = said ?? /** @type {Hello} */ (await call('hello'));
    const before = state.session;
    state.names.clear(); // events may have been missed
    state.hello = hello;
    state.connection = 'connected';
    state.connectionError = null;
    if (!state.model) state.choose(hello.selected.model ?? '', hello.selected.saes);
    takeEngine(hello.engine);
    state.train(hello.training);
    state.running = hello.live !== null;
    if (!hello.live) state.live = null;
    const { path, message } = hello.store;
    state.tell(...(message ? [{ name: 'sessions.db', message, hint: path }] : []), ...hello.problems);
    state.emit('hello', 'connection', 'running');
    try {
      await refreshSessions();
      if (hello.live) await rejoin(hello.live);
      else if (state.session && !state.session.end)
        await open(state.session.uid); // it ended while we were away
      else if (!state.session && hello.open) await open(hello.open);
      else if (!state.session && hello.first) await lookFirst();
      else if (!state.session && state.sessions.length) await open(state.sessions[0].uid);
    } catch (error) {
      if (error instanceof CallError && ['disconnected', 'token'].includes(error.kind)) throw error;
      state.fail(asRecord(error)); // past sessions cannot be read: a new one may work all the same
    }
    if (before) labels.nameAll();
    return hello.last_event;
  }

  /** Pulls events for ever, from the one after `after` on. */
  function listen(/** @type {number} */ after) {
    return pull(bridge, after, {
      events: take,
      lost(error) {
        state.connection = 'disconnected';
        state.connectionError = asRecord(error);
        state.emit('connection');
      },
      back: () => begin(),
    });
  }

  // -- events ------------------------------------------------------------------------------------------------------

  /** @param {Event[]} events */
  function take(events) {
    /** @type {Map<string, Message[]>} */
    const messages = new Map();
    /** @type {NamesEvent[]} */
    const names = [];
    for (const event of events) {
      if (event.kind === 'start' || event.kind === 'step' || event.kind === 'end') {
        messages.set(event.session, [...(messages.get(event.session) ?? []), event]);
      } else if (event.kind === 'engine') takeEngine(event);
      else if (event.kind === 'refused') refused(event.error);
      else if (event.kind === 'installed') state.installed(event.id);
      else if (event.kind === 'problem') state.tell(event);
      else if (event.kind === 'sessions_changed') refreshSessions().catch(quietly);
      else if (event.kind === 'labels') names.push(event);
      else if (event.kind === 'label_set') state.takeLabelSet(event);
      else if (event.kind === 'why') state.takeWhy(event);
      else if (event.kind === 'training') state.train(event);
      else if (event.kind === 'calibration') state.emit('calibration');
      else if (event.kind === 'open_session') void open(event.session);
    }
    for (const [uid, list] of messages) state.receiveLive(uid, list);
    labels.takeNames(names);
  }

  /** @param {Engine} engine */
  function takeEngine(engine) {
    if (engine.state !== 'loading') state.stages = [];
    else if (engine.stage && state.stages.at(-1) !== engine.stage) state.stages.push(engine.stage);
    state.engine = engine;
    state.emit('engine');
    if (engine.state === 'ready') keepChoice(engine);
  }

  /** What was chosen and could be loaded is chosen again at the next start. @param {Engine} engine */
  function keepChoice({ model, saes }) {
    const selected = state.hello?.selected;
    if (!selected || !model || model !== state.model || saes.join() !== state.saes.join()) return;
    if (model === selected.model && saes.join() === selected.saes.join()) return;
    Object.assign(selected, { model, saes });
    keep({ model, saes });
  }

  /** @param {ErrorRecord} error */
  function refused(error) {
    state.running = false;
    state.emit('running');
    state.fail(error, MENDED_BY_HAND.includes(error.kind) ? null : again);
  }

  // -- running -----------------------------------------------------------------------------------------------------

  /** @type {(() => void) | null} the run asked for last, once more */
  let again = null;

  /**
   * @param {string} prompt
   * @param {Record<string, number>} settings
   */
  async function run(prompt, settings) {
    again = () => void run(prompt, settings);
    state.fail(null);
    state.running = true;
    state.emit('running');
    try {
      const { session = null, position = null } = state.parent ?? {};
      const edits = state.steers.map(({ times, name, ...edit }) => ({
        ...edit,
        ...(edit.kind === 'ablate' ? {} : { times_maximum: times }),
      }));
      await call('run', { prompt, model: state.model, saes: state.saes, settings, parent: session, position, edits });
      state.branch(null);
    } catch (error) {
      refused(asRecord(error));
    }
  }

  /**
   * What the model makes of a prompt, with nothing written and nothing stored. Throws where it cannot be read now.
   * @param {string} prompt
   * @returns {Promise<Session>}
   */
  async function read(prompt) {
    /** @type {{messages: Message[]}} */
    const { messages } = await call('read', { prompt, model: state.model, saes: state.saes });
    const session = emptySession(/** @type {Start} */ (messages[0]).session);
    for (const message of messages) receive(session, message);
    if (session.end?.error) throw new CallError(session.end.error);
    return session;
  }

  const stop = () => attempt(state, () => call('stop'));

  let loads = Promise.resolve();

  /**
   * Has the chosen model loaded in the background, so that the first run need not wait for it. One call after the other:
   * the program takes the last one that arrives for what is wanted.
   * @param {boolean} [download]  fetch what is not on this machine
   */
  function load(download = false) {
    loads = loads.then(async () => {
      if (!state.model) return;
      try {
        await call('load', { model: state.model, saes: state.saes, download });
      } catch (error) {
        if (!(error instanceof CallError && error.kind === 'busy')) state.fail(asRecord(error));
      }
    });
    return loads;
  }

  /** Stops loading or downloading. */
  const cancel = () => attempt(state, () => call('cancel'));

  /**
   * The SAEs of a model that match a search.
   * @param {string} model
   * @param {string} search
   * @returns {Promise<{saes: Sae[], total: number} | null>}
   */
  async function saes(model, search) {
    if (!model) return null;
    try {
      return await call('saes', { model, search });
    } catch (error) {
      state.fail(asRecord(error));
      return null;
    }
  }

  // -- what stays: config.toml -----------------------------------------------------------------------------------------

  /** @type {{model?: string, saes?: string[], settings?: Record<string, number>}} */
  let unkept = {};
  let keeping = 0;

  /** Keeps what was chosen for the next start, a moment after the last change. @param {typeof unkept} changes */
  function keep(changes) {
    unkept = { ...unkept, ...changes, settings: { ...unkept.settings, ...changes.settings } };
    clearTimeout(keeping);
    keeping = window.setTimeout(writeKept, KEPT_AFTER);
  }

  async function writeKept() {
    clearTimeout(keeping);
    const { settings = {}, ...chosen } = unkept;
    unkept = {};
    const changes = { ...chosen, ...(Object.keys(settings).length ? { settings } : {}) };
    if (!Object.keys(changes).length) return;
    try {
      await call('keep', changes);
    } catch (error) {
      const { kind, message, hint } = asRecord(error);
      if (['disconnected', 'token'].includes(kind)) return; // told elsewhere
      // The file may be mended by the next change: then all is kept.
      if (kind === 'config') unkept = { ...changes, ...unkept, settings: { ...settings, ...unkept.settings } };
      state.tell({ name: 'config.toml', message: `Until the next start only: ${message}`, hint });
    }
  }
  document.addEventListener('visibilitychange', () => document.hidden && void writeKept());
  window.addEventListener('pagehide', () => void writeKept());

  /** Shows the report of a crash no more. */
  async function dismissCrash() {
    if (state.hello) state.hello.crash = null;
    state.emit('hello');
    await call('dismiss_crash').catch(quietly);
  }

  /** Has the program log a fault of the page. @param {string} text */
  const report = (text) => call('page_fault', { text }).catch(() => {});

  // -- sessions ----------------------------------------------------------------------------------------------------

  /** The session that was asked for last; a slower answer for an earlier one is dropped. */
  let wanted = '';

  /**
   * Puts a past session on screen.
   * @param {string} uid
   * @param {number} [position]  where the cursor goes; left out: the end
   */
  async function open(uid, position) {
    wanted = uid;
    if (state.live?.uid === uid) return state.show(state.live, true);
    try {
      const session = await messagesOf(emptySession(uid));
      if (wanted !== uid) return;
      state.show(session, false);
      if (position !== undefined) state.moveTo(position);
    } catch (error) {
      if (wanted === uid) state.fail(asRecord(error), () => void open(uid, position));
    }
  }

  /** Puts the recorded session of the very first start on screen. */
  async function lookFirst() {
    try {
      const { session } = await call('first_look');
      if (!session) return;
      await Promise.all([refreshSessions(), open(session)]);
      state.lookFirst(session);
    } finally {
      if (state.hello) state.hello.first = false;
      state.emit('hello');
    }
  }

  /** The start message of a session. @param {string} uid */
  const startOf = (uid) =>
    attempt(state, async () => {
      const { messages } = await call('messages', { session: uid, max: 1 });
      return /** @type {Start} */ (messages[0]);
    });

  /** The steps of a session, without BOS. @param {string} uid */
  const stepsOf = async (uid) => stepsUpTo(await messagesOf(emptySession(uid)), Infinity);

  /**
   * Goes on with a run under way: what there is of it first, then its events.
   * @param {string} uid
   */
  async function rejoin(uid) {
    const known = state.live?.uid === uid ? state.live : emptySession(uid);
    const session = await messagesOf(known);
    if (session.end) {
      state.running = false;
      state.live = null;
    } else {
      state.live = session;
    }
    if (state.session !== session || !state.session) state.show(session, true);
    else {
      state.name(session);
      if (state.following) state.t = lastPosition(session);
    }
    state.emit('steps', 'cursor', 'running');
  }

  /**
   * @param {Session} session
   * @returns {Promise<Session>}
   */
  async function messagesOf(session) {
    for (let after = -1; ;) {
      const answer = await call('messages', { session: session.uid, after, max: PAGE });
      for (const message of answer.messages) receive(session, message);
      after += answer.messages.length;
      if (!answer.more || !answer.messages.length) return session;
    }
  }

  // -- the graph: one question in flight, the latest wins ------------------------------------------------------------

  let asking = false;
  let askedAt = 0;
  let askedFor = '';

  async function pullGraph() {
    const { session, t, shown, edgesBy, chance, view } = state;
    if (asking || !session?.start || t < 0 || !shown[0]) return;
    // A run that has just begun sends its prompt token by token: half a prompt needs no graph.
    if (session === state.live && state.following && session.steps[t]?.is_prompt) return;
    const question = [session.uid, ...shown, edgesBy, chance, view.nodes, view.edgesPerNode, view.alwaysEdges, t].join(
      '|',
    );
    if (question === askedFor && state.graph) return;
    const early = askedAt + GRAPH_EVERY - performance.now();
    asking = true;
    if (early > 0 && state.following) {
      await new Promise((resolve) => setTimeout(resolve, early));
      asking = false;
      return pullGraph(); // the cursor may have moved meanwhile
    }
    askedAt = performance.now();
    askedFor = question;
    try {
      const drawn = { edges_per_node: view.edgesPerNode, always: view.alwaysEdges };
      const params = { session: session.uid, by: edgesBy, chance, position: t, ...drawn };
      const max_nodes = Math.ceil(view.nodes / shown.length);
      const graphs = await Promise.all(shown.map((sae) => call('graph', { ...params, sae, max_nodes })));
      if (state.session === session && String(state.shown) === String(shown)) state.draw(joined(shown, graphs));
    } catch (error) {
      askedFor = '';
      quietly(error);
      return;
    } finally {
      asking = false;
    }
    return pullGraph();
  }
  state.on(['session', 'steps', 'cursor', 'choice', 'view'], () => void pullGraph());

  // -- features and links --------------------------------------------------------------------------------------------

  /**
   * @param {string} sae
   * @param {number} feature
   * @returns {Promise<FeatureRecord>}
   */
  const feature = (sae, feature) => call('feature', { sae, feature });

  /**
   * Asks why a next token came after a position; the answer comes as "why" events of the request whose name this gives.
   * @param {string} session
   * @param {number} position
   * @param {{token?: string, token_id?: number}} which   left out: the token that followed
   * @returns {Promise<string>}
   */
  const why = async (session, position, which) => (await call('why', { session, position, ...which })).request;

  const trainingChoices = () => call('training_choices');

  /** @param {Record<string, unknown>} wanted */
  const trainSae = (wanted) => call('train_sae', wanted);

  const stopTraining = () => attempt(state, () => call('stop_training'));

  const cancelWhy = () => call('cancel_why').catch(quietly);

  /** @param {string} url */
  const openUrl = (url) => attempt(state, () => call('open_url', { url }));

  return {
    begin,
    listen,
    run,
    read,
    stop,
    load,
    cancel,
    keep,
    saes,
    open,
    startOf,
    stepsOf,
    feature,
    why,
    cancelWhy,
    trainingChoices,
    trainSae,
    stopTraining,
    openUrl,
    dismissCrash,
    report,
    ...labels,
    ...sessions,
  };
}

/** @typedef {ReturnType<typeof createActions>} Actions */
