// @ts-check
// Nodes and edges as the layout and the drawing hold them. A node keeps its object, and so its place, as long as the
// session is on screen; a new one begins beside a neighbour. Pure.

/** @import { Rgb } from '../color.js' */
/** @import { Graph, LabelState } from '../types.js' */

/**
 * @typedef {object} Item            a node
 * @property {number} key            which node: see joined.js
 * @property {string} sae
 * @property {number} feature        below 0: a token that features were followed by
 * @property {number[]} folded       near-duplicates of the feature: it lights when they fire, too
 * @property {number} last           position where it fired last, or that the token followed last
 * @property {string | null} label
 * @property {LabelState} label_state
 * @property {number} first          position where it fired first
 * @property {number} x
 * @property {number} y
 * @property {number} z
 * @property {number} level          the height to which it is drawn: several SAEs lie above one another
 * @property {boolean} hidden        fired first after the cursor, or muted
 * @property {number} now            activation at the cursor
 * @property {number} share          of the strongest, with its trail; 0..1
 * @property {number} radius
 * @property {Rgb} rgb
 * @property {number} alpha
 * @property {number} glow           0..1
 * @property {number} ring           1 selected, 0.5 pointed at, 0.25 pinned
 *
 * @typedef {object} Tie             an edge
 * @property {Item} source
 * @property {Item} target
 * @property {number} weight         0..1 among those drawn
 * @property {boolean} hidden
 * @property {Rgb} rgb
 * @property {number} alpha
 */

export class GraphData {
  /** @type {Item[]} */ items = [];
  /** @type {Tie[]} */ ties = [];
  /** @type {Map<number, Item>} every node of this session, by key, drawn now or not */ byKey = new Map();

  clear() {
    this.items = [];
    this.ties = [];
    this.byKey = new Map();
  }

  /**
   * @param {Graph | null} graph
   * @param {Map<string, number>} [levels]   of the SAEs that are drawn above one another
   */
  take(graph, levels = new Map()) {
    const { edges } = graph ?? { edges: [] };
    const nodes = nodesOf(graph);
    const fresh = nodes.filter((node) => !this.byKey.has(node.key));
    for (const node of nodes) {
      const known = this.byKey.get(node.key);
      if (known) Object.assign(known, { first: node.first, last: node.last, folded: node.folded });
    }
    const partners = new Map();
    for (const { a, b } of edges) {
      if (!partners.has(a)) partners.set(a, b);
      if (!partners.has(b)) partners.set(b, a);
    }
    const reach = this.byKey.size ? Math.max(40, ...this.items.map((item) => Math.hypot(item.x, item.y, item.z))) : 60;
    for (const { key, sae, feature, label, label_state, first, last, folded } of fresh) {
      const level = levels.get(sae) ?? 0;
      const beside = this.byKey.get(partners.get(key));
      const way = direction(key);
      const at = beside ? { x: beside.x, y: beside.y, z: beside.z } : { x: 0, y: level, z: 0 };
      const far = beside ? 14 : reach * (0.55 + 0.4 * noise(key + 0.5));
      this.byKey.set(key, {
        key,
        sae,
        feature,
        label,
        label_state,
        first,
        last,
        folded,
        x: at.x + way.x * far,
        y: at.y + way.y * far * (levels.size > 1 ? 0.15 : 1),
        z: at.z + way.z * far,
        level,
        hidden: false,
        now: 0,
        share: 0,
        radius: 2,
        rgb: [0.5, 0.5, 0.5],
        alpha: 0,
        glow: 0,
        ring: 0,
      });
    }
    this.rename(graph);
    this.items = nodes.map((node) => /** @type {Item} */ (this.byKey.get(node.key)));
    const most = edges.reduce((high, edge) => Math.max(high, edge.strength), 1e-9);
    this.ties = edges.map(({ a, b, strength }) => ({
      source: /** @type {Item} */ (this.byKey.get(a)),
      target: /** @type {Item} */ (this.byKey.get(b)),
      weight: Math.log(1 + strength) / Math.log(1 + most),
      hidden: false,
      rgb: [0.5, 0.5, 0.5],
      alpha: 0,
    }));
  }

  /** Gives nodes the names that they have in the graph; nothing else changes. @param {Graph | null} graph */
  rename(graph) {
    for (const { key, label, label_state } of nodesOf(graph)) {
      const item = this.byKey.get(key);
      if (item) Object.assign(item, { label, label_state });
    }
  }

  /**
   * The keys of a node and of those it is joined to.
   * @param {number} key
   */
  neighbours(key) {
    const near = new Set([key]);
    for (const { source, target } of this.ties) {
      if (source.key === key) near.add(target.key);
      if (target.key === key) near.add(source.key);
    }
    return near;
  }
}

/** The features of a graph, and the tokens that they were followed by. @param {Graph | null} graph */
const nodesOf = (graph) => [...(graph?.nodes ?? []), ...(graph?.tokens ?? [])];

/** A number 0..1 that depends on the seed alone, so that the same session is laid out the same. @param {number} seed */
export function noise(seed) {
  const wave = Math.sin(seed * 127.1 + 311.7) * 43758.5453;
  return wave - Math.floor(wave);
}

/** A direction that depends on the seed alone. @param {number} seed */
function direction(seed) {
  const z = 2 * noise(seed) - 1;
  const angle = 2 * Math.PI * noise(seed + 0.25);
  const flat = Math.sqrt(1 - z * z);
  return { x: flat * Math.cos(angle), y: flat * Math.sin(angle), z };
}
