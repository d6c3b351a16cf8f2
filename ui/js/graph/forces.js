// @ts-check
// The forces of the layout, the same in 3D and 2D: few surprises while tokens stream in.

import { calm } from '../dom.js';

/** @import { Item } from './data.js' */

// Caps on the simulation's heat. The library reheats to 1 at every new node, which would make the graph jump.
const STREAMING = 0.2;
const UNFOLDING = 0.7; // once the last token has arrived
const SETTLING = 1;

/** @typedef {{cap: number}} Heat */

/**
 * Sets up the forces of a 3d-force-graph or force-graph.
 * @param {any} graph
 * @param {() => Item[]} items
 * @param {1 | -1} up   which way up is: a canvas counts downwards
 * @returns {Heat}
 */
export function setForces(graph, items, up) {
  const heat = { cap: STREAMING };
  graph.d3Force('link').distance(30);
  graph.d3Force('charge').strength(-38).theta(1.3).distanceMax(260);
  for (const name of ['link', 'charge']) graph.d3Force(name, cooled(graph.d3Force(name), heat));
  graph.d3Force('center', null);
  // Features that fired only once have no edge: without a pull to the middle they would drift away.
  graph.d3Force('middle', (/** @type {number} */ alpha) => {
    const pull = 0.075 * Math.min(alpha, heat.cap);
    const drawn = /** @type {any[]} */ (items());
    const flatten = drawn.some((item) => item.level !== drawn[0].level) ? 6 : 1; // several SAEs: a layer each
    for (const item of drawn) {
      item.vx -= item.x * pull;
      item.vy -= (item.y - up * item.level) * pull * flatten;
      if (item.vz !== undefined) item.vz -= item.z * pull;
    }
  });
  graph.d3VelocityDecay(0.55).d3AlphaDecay(0.03).d3AlphaMin(0.02).cooldownTime(5000);
  return heat;
}

/**
 * The force with a cap on the simulation's heat.
 * @param {any} force
 * @param {Heat} heat
 */
function cooled(force, heat) {
  const capped = (/** @type {number} */ alpha) => force(Math.min(alpha, heat.cap));
  for (const name of Object.keys(force)) {
    /** @type {any} */ (capped)[name] = (/** @type {any[]} */ ...args) => {
      const result = force[name](...args);
      return result === force ? capped : result;
    };
  }
  return capped;
}

// Ticks done at once, before the next frame:
const WHOLE = 140; // a layout from scratch
const AHEAD = 3; // at each change while streaming, so that slow frames do not leave the layout behind
const STILL = 30; // the same where nothing may move by itself

/**
 * Hands nodes and edges to the layout.
 * @param {any} graph
 * @param {Heat} heat
 * @param {unknown[]} nodes
 * @param {unknown[]} links
 * @param {{settle: boolean, held: boolean}} how   settle: lay out from scratch, at once; held: nobody moves
 */
export function feed(graph, heat, nodes, links, { settle, held }) {
  const still = settle || held || calm();
  heat.cap = settle ? SETTLING : STREAMING;
  graph.warmupTicks(settle ? WHOLE : held ? 0 : still ? STILL : AHEAD).cooldownTicks(still ? 0 : Infinity);
  graph.graphData({ nodes, links });
}

/**
 * Lets the layout take the room it needs, now that nothing new arrives.
 * @param {any} graph
 * @param {Heat} heat
 */
export function unfold(graph, heat) {
  heat.cap = UNFOLDING;
  if (calm()) graph.warmupTicks(WHOLE).cooldownTicks(0).graphData(graph.graphData());
  else graph.cooldownTicks(Infinity).d3ReheatSimulation();
}
