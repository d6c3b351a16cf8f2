import assert from 'node:assert/strict';
import test from 'node:test';
import { countUpTo, isAlwaysOn, firingsUpTo, highestUpTo, activationsOf, tokensUpTo } from '../../ui/js/firings.js';
import { SAE, step } from './messages.mjs';

const activationOf = (one, feature) =>
  one.saes[SAE].features.find((active) => active.feature === feature)?.activation ?? 0;

test('counts up to a cursor are those of going through all steps', () => {
  const steps = [step(0, {}, { bos: true })];
  for (let p = 1; p < 60; p++) steps.push(step(p, { [p % 7]: 1, [(p * p) % 5]: 2 }));
  for (let t = -1; t < 62; t++) {
    const seen = steps.slice(0, t + 1).filter((one) => !one.is_bos);
    assert.equal(tokensUpTo(steps, t), seen.length);
    for (let feature = 0; feature < 8; feature++) {
      const places = seen
        .filter((one) => one.saes[SAE].features.some((active) => active.feature === feature))
        .map((one) => one.position);
      const activations = places.map((place) => activationOf(steps[place], feature));
      assert.deepEqual(firingsUpTo(steps, SAE, feature, t), { places, activations });
      assert.equal(countUpTo(steps, SAE, feature, t), places.length);
    }
    const all = seen.flatMap((one) => one.saes[SAE].features.map((active) => active.activation));
    assert.equal(highestUpTo(steps, SAE, t), Math.max(0, ...all));
  }
});

test('activations stand at their positions, with nothing of BOS', () => {
  const steps = [step(0, { 1: 9 }, { bos: true }), step(1, { 1: 2, 2: 3 }), step(2, { 2: 1 }), step(3, { 1: 1 })];
  assert.deepEqual(activationsOf(steps, SAE, 1), [0, 2, 0, 1]);
  assert.deepEqual(activationsOf(steps, SAE, 5), [0, 0, 0, 0]);
  assert.equal(highestUpTo(steps, SAE, 3), 3);
});

test('an SAE that reads only some of the steps has its strongest at their places', () => {
  const steps = [step(0, { 1: 4 }), step(1, { 1: 1 }), step(2, { 1: 2 })];
  steps[0].saes = {};
  steps[2].saes = {};
  assert.deepEqual(
    [0, 1, 2].map((t) => highestUpTo(steps, SAE, t)),
    [0, 1, 1],
  );
});

test('the index grows with the steps, and waits for one that is late', () => {
  const steps = [step(0, { 1: 1 })];
  assert.equal(countUpTo(steps, SAE, 1, 9), 1);
  steps[2] = step(2, { 1: 1 });
  assert.equal(countUpTo(steps, SAE, 1, 9), 1);
  steps[1] = step(1, { 1: 1 });
  assert.equal(countUpTo(steps, SAE, 1, 9), 3);
  assert.equal(countUpTo(steps, 'another', 1, 9), 0);
});

test('always on is what fires at four of five tokens, once there are ten', () => {
  const steps = Array.from({ length: 20 }, (_, p) => step(p, p % 5 ? { 1: 1, 2: 1 } : { 2: 1 }));
  assert.equal(isAlwaysOn(steps, SAE, 1, 19), true);
  assert.equal(isAlwaysOn(steps, SAE, 2, 8), false);
  assert.equal(isAlwaysOn(steps, SAE, 2, 9), true);
  assert.equal(isAlwaysOn(steps, SAE, 3, 19), false);
});
