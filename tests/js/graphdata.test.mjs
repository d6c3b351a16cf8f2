import assert from 'node:assert/strict';
import test from 'node:test';
import { GraphData } from '../../ui/js/graph/data.js';
import { joined, keyOf } from '../../ui/js/graph/joined.js';
import { glowAt } from '../../ui/js/trail.js';
import { SAE, step } from './messages.mjs';

const node = (feature, first = 1) => ({
  key: feature,
  sae: SAE,
  feature,
  label: null,
  label_state: 'unlabelled',
  first,
  last: first,
  count: 1,
  max: 1,
  always: false,
  folded: [],
});
const graph = (nodes, edges = []) => ({
  position: 1,
  nodes,
  edges,
  nodes_total: nodes.length,
  edges_total: edges.length,
});

test('a node keeps its place while others come and go', () => {
  const data = new GraphData();
  data.take(graph([node(1), node(2)]));
  Object.assign(data.byKey.get(1), { x: 10, y: 20, z: 30 });
  data.take(graph([node(2)]));
  assert.deepEqual(
    data.items.map((item) => item.feature),
    [2],
  );
  data.take(graph([node(1), node(3)]));
  assert.deepEqual([data.items[0].x, data.items[0].y, data.items[0].z], [10, 20, 30]);
});

test('a name changes nothing but the name', () => {
  const data = new GraphData();
  const known = graph([node(1), node(2)]);
  data.take(known);
  const [item, ties] = [data.byKey.get(1), data.ties];
  const place = [item.x, item.y, item.z];
  known.nodes[0] = { ...known.nodes[0], label: 'a river', label_state: 'labelled' };
  data.rename(known);
  assert.equal(data.byKey.get(1), item);
  assert.deepEqual([item.label, item.label_state], ['a river', 'labelled']);
  assert.deepEqual([item.x, item.y, item.z], place);
  assert.equal(data.ties, ties);
  data.rename(null); // before the first graph
});

test('the tokens that features were followed by are nodes too, of each SAE its own', () => {
  const data = new GraphData();
  const tokens = [{ key: -8, token_id: 7, text: ' Paris', first: 2, last: 2, count: 1 }];
  const one = { ...graph([node(1)], [{ a: 1, b: -8, strength: 0.5 }]), tokens, expected: null };
  data.take(joined(['m/1', 'm/2'], [one, one]));
  assert.deepEqual(
    data.items.map((item) => item.label),
    [null, null, '“ Paris”', '“ Paris”'],
  );
  assert.equal(new Set(data.items.map((item) => item.key)).size, 4);
  assert.deepEqual(
    data.ties.map((tie) => [tie.source.sae, tie.target.sae, tie.target.feature]),
    [
      ['m/1', 'm/1', -8],
      ['m/2', 'm/2', -8],
    ],
  );
});

test('a new node begins beside a neighbour', () => {
  const data = new GraphData();
  data.take(graph([node(1)]));
  Object.assign(data.byKey.get(1), { x: 500, y: 0, z: 0 });
  data.take(graph([node(1), node(2)], [{ a: 1, b: 2, strength: 3 }]));
  const item = data.byKey.get(2);
  assert.ok(Math.hypot(item.x - 500, item.y, item.z) < 20);
  assert.deepEqual([...data.neighbours(2)].sort(), [1, 2]);
});

test('the same session is laid out the same', () => {
  const places = () => {
    const data = new GraphData();
    data.take(graph([node(5), node(6), node(7)], [{ a: 5, b: 6, strength: 2 }]));
    return data.items.map(({ x, y, z }) => [x, y, z]);
  };
  assert.deepEqual(places(), places());
});

test('the trail fades over tokens, and looks only back', () => {
  const steps = [step(0, { 1: 4 }), step(1, { 2: 1 }), step(2, { 3: 9 })];
  const glow = glowAt(steps, SAE, 1);
  assert.deepEqual(glow.get(2), { now: 1, trail: 1 });
  assert.equal(glow.get(1).now, 0);
  assert.ok(glow.get(1).trail > 0 && glow.get(1).trail < 4);
  assert.equal(glow.has(3), false);
});

test('the graphs of two SAEs are one, in which the same number is two features', () => {
  const shown = ['m/1', 'm/2'];
  const of = (nodes, edges) => ({ position: 3, nodes, edges, nodes_total: 5, edges_total: 4 });
  const bare = (feature) => ({ feature, label: null, label_state: 'unlabelled', first: 1, last: 1, count: 1, max: 1 });
  const graph = joined(shown, [
    of([bare(7), bare(8)], [{ a: 7, b: 8, strength: 2 }]),
    of([bare(7), bare(9)], [{ a: 7, b: 9, strength: 2 }]),
  ]);
  assert.equal(new Set(graph.nodes.map((one) => one.key)).size, 4);
  assert.deepEqual([graph.nodes_total, graph.edges_total, graph.position], [10, 8, 3]);
  assert.equal(keyOf(shown, 'm/1', 7), 7);
  const { a, b } = graph.edges[1];
  assert.deepEqual([a, b], [keyOf(shown, 'm/2', 7), keyOf(shown, 'm/2', 9)]);

  const data = new GraphData();
  data.take(
    graph,
    new Map([
      ['m/1', -60],
      ['m/2', 60],
    ]),
  );
  for (const { sae, y } of data.items) assert.ok(sae === 'm/1' ? y < 0 : y > 0);
});
