// @ts-check
// The graphs of several SAEs as one. Feature 7 of one SAE is another than feature 7 of the next: on screen each has a key
// of its own. Pure.

import { quoted } from '../words.js';

/** @import { Graph } from '../types.js' */

const ROOM = 2 ** 24; // features of one SAE, at most

/**
 * The key of a feature on screen; that of the first SAE's is the feature itself.
 * @param {string[]} shown   the SAEs on screen
 * @param {string} sae
 * @param {number} feature
 */
export const keyOf = (shown, sae, feature) => shown.indexOf(sae) * ROOM + feature;

/**
 * The graphs of the SAEs on screen, one each, as one graph.
 * @param {string[]} shown
 * @param {any[]} graphs   as the program gave them
 * @returns {Graph}
 */
export function joined(shown, graphs) {
  const key = (/** @type {number} */ i, /** @type {number} */ end) => (end < 0 ? end - i * ROOM : end + i * ROOM);
  const sum = (/** @type {(graph: any) => number} */ of) => graphs.reduce((total, graph) => total + of(graph), 0);
  return {
    ...graphs[0],
    nodes: graphs.flatMap(({ nodes }, i) =>
      nodes.map((/** @type {any} */ node) => ({ ...node, sae: shown[i], key: key(i, node.feature) })),
    ),
    tokens: graphs.flatMap(({ tokens }, i) =>
      (tokens ?? []).map((/** @type {any} */ token) => ({
        ...token,
        sae: shown[i],
        key: key(i, token.key),
        feature: token.key,
        label: quoted(token.text),
        label_state: 'labelled',
        folded: [],
      })),
    ),
    edges: graphs.flatMap(({ edges }, i) =>
      edges.map((/** @type {any} */ edge) => ({ ...edge, a: key(i, edge.a), b: key(i, edge.b) })),
    ),
    nodes_total: sum((graph) => graph.nodes_total),
    edges_total: sum((graph) => graph.edges_total),
    expected: graphs[0].expected === null ? null : sum((graph) => graph.expected),
  };
}
