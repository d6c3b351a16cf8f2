import assert from 'node:assert/strict';
import test from 'node:test';
import { GraphData } from '../../ui/js/graph/data.js';
import { paint, withLabels } from '../../ui/js/graph/looks.js';

/** Features 1 to 4 that fired first at their own number; 1-2 and 2-3 are joined. */
function sample() {
  const data = new GraphData();
  const nodes = [1, 2, 3, 4].map((feature) => ({ feature, label: null, label_state: 'unlabelled', first: feature, last: feature, folded: [] }));
  const edges = [
    [1, 2],
    [2, 3],
  ].map(([a, b]) => ({ a, b, strength: 2 }));
  data.take({ position: 4, nodes, edges, nodes_total: 4, edges_total: 2 });
  return data;
}

const view = (changes = {}) => ({
  t: 4,
  glow: new Map([
    [1, { now: 0, trail: 1 }],
    [3, { now: 2, trail: 2 }],
    [4, { now: 4, trail: 4 }],
  ]),
  strongest: 4,
  selected: null,
  hover: null,
  theme: 'dark',
  ...changes,
});

test('the stronger a feature at the cursor, the larger its dot', () => {
  const data = sample();
  paint(data, view());
  const radius = Object.fromEntries(data.items.map((item) => [item.feature, item.radius]));
  assert.ok(radius[4] > radius[3] && radius[3] > radius[1] && radius[1] > radius[2]);
});

test('what fired first after the cursor is hidden, and its edges with it', () => {
  const data = sample();
  paint(data, view({ t: 2 }));
  assert.deepEqual(
    data.items.filter((item) => item.hidden).map((item) => item.feature),
    [3, 4],
  );
  assert.deepEqual(
    data.ties.map((tie) => tie.hidden),
    [false, true],
  );
});

test('a selected feature has a ring and lit edges, and what is not joined to it is dimmed', () => {
  const [plain, chosen] = [sample(), sample()];
  paint(plain, view());
  paint(chosen, view({ selected: 1 }));
  assert.equal(chosen.byFeature.get(1).ring, 1);
  assert.ok(chosen.ties[0].alpha > plain.ties[0].alpha && chosen.ties[1].alpha < plain.ties[1].alpha);
  for (const feature of [1, 2]) assert.equal(chosen.byFeature.get(feature).alpha, plain.byFeature.get(feature).alpha);
  for (const feature of [3, 4]) assert.ok(chosen.byFeature.get(feature).alpha < plain.byFeature.get(feature).alpha);
});

test('a selected feature that has not fired yet dims nobody', () => {
  const [plain, chosen] = [sample(), sample()];
  paint(plain, view({ t: 2 }));
  paint(chosen, view({ t: 2, selected: 4 }));
  assert.deepEqual(
    chosen.items.map((item) => item.alpha),
    plain.items.map((item) => item.alpha),
  );
});

test('labels go to the strongest, to the selected one with its neighbours, and to the one pointed at', () => {
  const data = sample();
  const labelled = (changes) => {
    paint(data, view(changes));
    return withLabels(data, view(changes)).map((item) => item.feature);
  };
  assert.deepEqual(labelled(), [4, 3]);
  assert.deepEqual(labelled({ hover: 2 }), [2, 4, 3]);
  assert.deepEqual(labelled({ selected: 2 }), [2, 3, 1]);
});
