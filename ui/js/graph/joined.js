// @ts-check
// The graphs of several SAEs as one. Feature 7 of one SAE is another than feature 7 of the next: on screen each has a key
// of its own. Pure.

/** @import { Graph } from '../types.js' */

const ROOM = 2 ** 24; // features of one SAE, at most

/**
 * The key of a feature on screen; that of the first SAE's is the feature itself.
 * @param {string[]} shown   the SAEs on screen
 * @param {string} sae
 * @param {number} feature
 */
export const keyOf = (shown, sae, feature) => keyIn(shown.indexOf(sae), feature);

/** The key of a feature, or of a token (below 0), of the SAE number `i`. @param {number} i @param {number} id */
const keyIn = (i, id) => (id < 0 ? id - i * ROOM : id + i * ROOM);

/**
 * The graphs of the SAEs on screen, one each, as one graph.
 * @param {string[]} shown
 * @param {any[]} graphs   as the program gave them
 * @returns {Graph}
 */
export function joined(shown, graphs) {
  const sum = (/** @type {(graph: any) => number} */ of) => graphs.reduce((total, graph) => total + of(graph), 0);
  const all = (/** @type {string} */ part, /** @type {(one: any, i: number) => any} */ as) =>
    graphs.flatMap((graph, i) => graph[part].map((/** @type {any} */ one) => as(one, i)));
  return {
    ...graphs[0],
    nodes: all('nodes', (node, i) => ({
      ...node,
      sae: shown[i],
      key: keyIn(i, node.feature),
      folded: node.folded.map((/** @type {number} */ one) => keyIn(i, one)),
    })),
    tokens: all('tokens', (token, i) => ({ ...token, sae: shown[i], key: keyIn(i, token.key) })),
    edges: all('edges', (edge, i) => ({ ...edge, a: keyIn(i, edge.a), b: keyIn(i, edge.b) })),
    nodes_total: sum((graph) => graph.nodes_total),
    edges_total: sum((graph) => graph.edges_total),
    expected: graphs.some((graph) => graph.expected === null) ? null : sum((graph) => graph.expected),
    why: graphs.find((graph) => graph.why)?.why ?? '',
  };
}
