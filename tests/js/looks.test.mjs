import assert from 'node:assert/strict';
import test from 'node:test';
import { GraphData } from '../../ui/js/graph/data.js';
import { paint, withLabels } from '../../ui/js/graph/looks.js';

/** Features 1 to 4 that fired first at their own number; 1-2 and 2-3 are joined. */
function sample() {
  const data = new GraphData();
  const nodes = [1, 2, 3, 4].map((feature) => ({
    key: feature,
    sae: 'm/1',
    feature,
    label: null,
    label_state: 'unlabelled',
    first: feature,
    last: feature,
    folded: [],
  }));
  const edges = [
    [1, 2],
    [2, 3],
  ].map(([a, b]) => ({ a, b, strength: 2 }));
  data.take({ position: 4, nodes, edges, nodes_total: 4, edges_total: 2 });
  return data;
}

const view = (changes = {}) => ({
  t: 4,
  shine: new Map([
    [1, { now: 0, share: 0.25 }],
    [3, { now: 2, share: 0.5 }],
    [4, { now: 4, share: 1 }],
  ]),
  selected: null,
  hover: null,
  pinned: new Set(),
  muted: new Set(),
  names: 12,
  layers: ['m/1'],
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
  assert.equal(chosen.byKey.get(1).ring, 1);
  assert.ok(chosen.ties[0].alpha > plain.ties[0].alpha && chosen.ties[1].alpha < plain.ties[1].alpha);
  for (const feature of [1, 2]) assert.equal(chosen.byKey.get(feature).alpha, plain.byKey.get(feature).alpha);
  for (const feature of [3, 4]) assert.ok(chosen.byKey.get(feature).alpha < plain.byKey.get(feature).alpha);
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

test('a pinned feature is named and ringed, silent or not, beyond the number of names', () => {
  const data = sample();
  const pinned = view({ pinned: new Set([2]), names: 1 });
  paint(data, pinned);
  assert.ok(data.byKey.get(2).ring > 0);
  assert.deepEqual(
    withLabels(data, pinned).map((item) => item.feature),
    [2],
  );
  assert.deepEqual(
    withLabels(data, view({ pinned: new Set([2]), names: 0 })).map((item) => item.feature),
    [2],
  );
});

test('a muted feature is not drawn, nor are its edges, and selected it dims nobody', () => {
  const [plain, data] = [sample(), sample()];
  paint(plain, view());
  paint(data, view({ muted: new Set([2]), selected: 2 }));
  assert.equal(data.byKey.get(2).hidden, true);
  assert.deepEqual(
    data.ties.map((tie) => tie.hidden),
    [true, true],
  );
  for (const key of [1, 3, 4]) assert.equal(data.byKey.get(key).alpha, plain.byKey.get(key).alpha);
});

test('of several SAEs on screen each has a hue of its own, brighter when it fires', () => {
  const [one, two] = [sample(), sample()];
  for (const item of two.items) item.sae = 'm/2';
  paint(one, view({ layers: ['m/1', 'm/2'] }));
  paint(two, view({ layers: ['m/1', 'm/2'] }));
  assert.notDeepEqual(one.byKey.get(4).rgb, two.byKey.get(4).rgb);
  assert.notDeepEqual(one.byKey.get(4).rgb, one.byKey.get(1).rgb);
  assert.deepEqual(one.byKey.get(2).rgb, two.byKey.get(2).rgb); // silent
});
