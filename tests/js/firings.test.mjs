import assert from 'node:assert/strict';
import test from 'node:test';
import { countUpTo, isAlwaysOn, placesUpTo, tokensUpTo } from '../../ui/js/firings.js';
import { SAE, step } from './messages.mjs';

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
      assert.deepEqual(placesUpTo(steps, SAE, feature, t), places);
      assert.equal(countUpTo(steps, SAE, feature, t), places.length);
    }
  }
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
