// How names that arrive later come to stand everywhere.

import assert from 'node:assert/strict';
import test from 'node:test';
import { CallError } from '../../ui/js/bridge.js';
import { createLabelActions } from '../../ui/js/label-actions.js';
import { emptySession, receive } from '../../ui/js/session.js';
import { State } from '../../ui/js/state.js';
import { SAE, start, step } from './messages.mjs';

const name = (label, origin = 'neuronpedia') => ({ label, label_state: 'labelled', label_origin: origin });
const told = () => new Promise((resolve) => setTimeout(resolve));

/** A state with a session on screen whose features 7 and 8 fired, and what it says. */
function onScreen() {
  const state = new State();
  const session = emptySession('s1');
  for (const message of [start, step(1, { 7: 2, 8: 1 })]) receive(session, structuredClone(message));
  state.show(session, true);
  state.draw({ nodes: [{ sae: SAE, feature: 7, label: null, label_state: 'pending' }], edges: [] });
  const said = [];
  for (const event of ['names', 'known', 'label_set']) state.on(event, () => said.push(event));
  return { state, said };
}
const labelOf = (state, feature) =>
  state.session.steps.at(-1).saes[SAE].features.find((active) => active.feature === feature).label;

test('a name reaches steps, graph and inspector, and is told once', async () => {
  const { state, said } = onScreen();
  state.inspect(7);
  await told();
  state.rename(SAE, { 7: name('rivers') });
  assert.equal(labelOf(state, 7), 'rivers');
  assert.equal(state.graph.nodes[0].label, 'rivers');
  await told();
  assert.deepEqual(said, ['names', 'known']);
  assert.equal(state.described, 1);
});

test('the inspector asks again even where the name stays: details may have come', async () => {
  const { state, said } = onScreen();
  state.inspect(8);
  state.rename(SAE, { 8: name('label 8') });
  state.rename('another', { 8: name('x') });
  await told();
  assert.deepEqual(said, ['known']);
});

test('what was asked for before a name came does not undo it', () => {
  const { state } = onScreen();
  state.rename(SAE, { 7: name('rivers'), 9: name('lakes') });
  state.draw({ nodes: [{ sae: SAE, feature: 7, label: null, label_state: 'pending' }], edges: [] });
  assert.equal(state.graph.nodes[0].label, 'rivers');
  state.receiveLive('s1', [step(2, { 9: 1 })]);
  assert.equal(labelOf(state, 9), 'lakes');
  const stored = emptySession('s2');
  for (const message of [start, step(1, { 7: 1 })]) receive(stored, structuredClone(message));
  state.show(stored, false);
  assert.equal(labelOf(state, 7), 'rivers');
});

test('what the user wrote is no news to the user', () => {
  const { state } = onScreen();
  state.rename(SAE, { 7: name('mine', 'you') });
  assert.equal(labelOf(state, 7), 'mine');
  assert.equal(state.described, 0);
});

test('the live session is renamed while another one is on screen', () => {
  const { state } = onScreen();
  const live = emptySession('live');
  receive(live, step(1, { 7: 1 }));
  state.live = live;
  state.rename(SAE, { 7: name('rivers') });
  assert.equal(live.steps[1].saes[SAE].features[0].label, 'rivers');
});

test('a jump shows the SAE if the session has it, and inspects any other without', () => {
  const { state } = onScreen();
  state.session.start = { ...state.session.start, saes: [SAE, 'tiny-world/3-res'] };
  state.jump('tiny-world/3-res', 5);
  assert.equal(state.sae, 'tiny-world/3-res');
  assert.deepEqual(state.feature, { sae: 'tiny-world/3-res', feature: 5 });
  state.jump('gpt2-small/8-res-jb', 6);
  assert.equal(state.sae, 'tiny-world/3-res');
  assert.deepEqual(state.feature, { sae: 'gpt2-small/8-res-jb', feature: 6 });
});

test('events of one pull are taken together; a whole set has the names asked for in parts', async () => {
  const { state } = onScreen();
  const many = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [i + 100, 1]));
  state.receiveLive('s1', [step(2, many)]);
  state.inspect(9999);
  const asked = [];
  const { takeNames } = createLabelActions(state, async (method, params) => {
    if (method !== 'names') return { sae: params.sae };
    asked.push(params.features);
    return { labels: Object.fromEntries(params.features.map((feature) => [feature, name(`new ${feature}`)])) };
  });
  takeNames([
    { sae: SAE, labels: { 7: name('one') } },
    { sae: SAE, labels: { 8: name('two') } },
  ]);
  assert.deepEqual([labelOf({ session: { steps: [state.session.steps[1]] } }, 8)], ['two']);
  takeNames([{ sae: SAE, labels: null }]);
  await told();
  assert.deepEqual(
    asked.map((features) => features.length),
    [2000, 503],
  );
  assert.ok(asked.flat().includes(9999)); // inspected, though it never fired
  assert.equal(labelOf(state, 100), 'new 100');
});

test('names that cannot be asked for are left as they are', async () => {
  const { state } = onScreen();
  const { takeNames } = createLabelActions(state, () => Promise.reject(new CallError({ kind: 'x', message: 'no' })));
  takeNames([{ sae: SAE, labels: null }]);
  await told();
  assert.equal(labelOf(state, 7), 'label 7');
});
