// @ts-check
// One line of facts: what the engine does, speed, model, SAE, device, how much of the graph is drawn, online or not.

import { $, el, setText } from '../dom.js';
import { tokensPerSecond } from '../session.js';
import { counted, number } from '../words.js';

/** @import { State } from '../state.js' */

/** @param {State} state */
export function statusPanel(state) {
  const bar = $('status');
  /** @type {Record<string, HTMLElement>} */
  const cells = {};
  for (const name of ['engine', 'speed', 'model', 'sae', 'device', 'drawn', 'network', 'version']) {
    cells[name] = el('span', { 'data-status': name });
    bar.append(cells[name]);
  }

  state.on(['hello', 'engine', 'session', 'steps', 'choice', 'graph', 'connection', 'running', 'label_set'], () => {
    const { session, graph, hello, engine } = state;
    const model = session?.start?.model ?? state.model;
    const speed = tokensPerSecond(session);
    const waits = engine?.error?.kind === 'not_installed'; // for the user, and nothing is wrong
    bar.dataset.engine =
      state.connection === 'disconnected' ? 'disconnected' : waits ? 'empty' : (engine?.state ?? 'empty');
    setText(cells.engine, engineWords(state));
    setText(cells.speed, speed ? `${number(speed)} tokens/s` : '');
    setText(cells.model, hello?.models.find((one) => one.id === model)?.name ?? model);
    setText(cells.sae, state.sae);
    const { device, dtype } = session?.start ?? engine ?? {};
    setText(cells.device, [device, dtype].filter(Boolean).join(' · '));
    const nodes = graph ? part(graph.nodes.length, graph.nodes_total, 'feature') : '';
    setText(cells.drawn, graph ? `${nodes}, ${part(graph.edges.length, graph.edges_total, 'edge')}` : '');
    setText(cells.network, hello ? (hello.offline ? 'offline' : 'online') : '');
    setText(cells.version, hello ? `AXON Shell ${hello.version}` : '');
    const asTheyAppear = state.labelSet?.fetch ? ', labels of features on screen also as they appear' : '';
    cells.network.title = hello?.offline
      ? 'The network is switched off: nothing is fetched.'
      : `Models, SAEs and labels are fetched when you ask for them${asTheyAppear}.`;
  });
}

/** @param {State} state */
function engineWords({ connection, engine, running }) {
  if (connection !== 'connected') return connection === 'connecting' ? 'connecting …' : 'disconnected';
  switch (engine?.state) {
    case 'loading':
      return `loading: ${engine.stage}`;
    case 'failed':
      return engine.error?.kind === 'not_installed' ? 'not downloaded yet' : 'loading failed';
    case 'ready':
    case 'running':
      return running ? 'writing' : 'ready';
    default:
      return running ? 'starting' : 'no model loaded';
  }
}

/** @param {number} shown @param {number} total @param {string} one */
const part = (shown, total, one) =>
  shown === total ? counted(total, one) : `${shown.toLocaleString('en')} of ${counted(total, one)}`;
