import assert from 'node:assert/strict';
import test from 'node:test';
import { firedTogether } from '../../ui/js/cofiring.js';
import { SAE, step } from './messages.mjs';

// BOS, then 1, 2, 3, 4
const STEPS = [
  step(0, {}, { bos: true }),
  step(1, { 1: 1, 2: 1 }),
  step(2, { 1: 2, 2: 1, 3: 1 }),
  step(3, { 3: 1 }),
  step(4, { 3: 2, 4: 1 }),
];

test('counts and lift are exact', () => {
  const { fired, positions, partners } = firedTogether(STEPS, SAE, 1, 4);
  assert.equal(fired, 2);
  assert.equal(positions, 4);
  assert.deepEqual(partners, [
    { feature: 2, label: 'label 2', label_state: 'labelled', count: 2, lift: 2 }, // 2 * 4 / (2 * 2)
    { feature: 3, label: 'label 3', label_state: 'labelled', count: 1, lift: 4 / 6 }, // 1 * 4 / (2 * 3): less than chance
  ]);
});

test('what comes after the cursor does not count', () => {
  assert.deepEqual(
    firedTogether(STEPS, SAE, 1, 1).partners.map((partner) => [partner.feature, partner.count]),
    [[2, 1]],
  );
});

test('wherever the cursor comes from, the counts are the same', () => {
  const steps = Array.from({ length: 80 }, (_, p) => step(p, { [p % 3]: 1, [p % 5]: 2, [(p * p) % 11]: 3 }));
  for (const t of [70, 71, 30, 29, 28, 5, 79, 40, 0, 79]) {
    for (const feature of t % 2 ? [1] : [1, 2]) {
      const fresh = firedTogether([...steps], SAE, feature, t);
      assert.deepEqual(firedTogether(steps, SAE, feature, t), fresh);
      const few = fresh.partners.filter((partner) => partner.count >= 2).slice(0, 3);
      assert.deepEqual(firedTogether(steps, SAE, feature, t, 2, 3).partners, few);
    }
  }
});

test('lift is symmetric', () => {
  const of = (one, other) =>
    firedTogether(STEPS, SAE, one, 4).partners.find((partner) => partner.feature === other)?.lift;
  for (const [a, b] of [
    [1, 2],
    [1, 3],
    [2, 3],
    [3, 4],
  ])
    assert.equal(of(a, b), of(b, a));
  assert.equal(of(1, 4), undefined);
});

test('a feature that has not fired has no partners', () => {
  assert.deepEqual(firedTogether(STEPS, SAE, 99, 4), { fired: 0, positions: 4, partners: [] });
  assert.deepEqual(firedTogether([], SAE, 1, 4), { fired: 0, positions: 0, partners: [] });
});
