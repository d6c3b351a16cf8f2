import assert from 'node:assert/strict';
import test from 'node:test';
import { change, ranked, sums } from '../../ui/js/why.js';

const without = (logit, probability) => ({
  logit,
  probability,
  instead: { token_id: 1, text: ' x', probability: 0.5 },
});
const feature = (number, direct, gradient, ablation = null) => ({ feature: number, direct, gradient, ablation });
const SAE = {
  features: [feature(1, 0.5, 2, without(0.1, 0.2)), feature(2, null, -1), feature(3, 3, 0, without(0.9, 0.01))],
  direct: { features: 3, constant: -1, unexplained: 0.5, rest: 0.25, bias: 0.25, logit: 3 },
  gradient: { features: 1, constant: 0, unexplained: 0.5, whole: 1.5 },
  ablation: { top: without(1, 1), features: without(2, 0.9), unexplained: without(0.5, 0.1) },
};
const order = (by) => ranked(SAE, by).map((one) => one.feature);

test('the features that did most for the token come first; what was not measured is left out', () => {
  assert.deepEqual(order('gradient'), [1, 3, 2]);
  assert.deepEqual(order('direct'), [3, 1]);
  assert.deepEqual(order('ablation'), [3, 1]);
});

test('the parts add up to the logit, and say what removing them does where that was tried', () => {
  const lines = sums(SAE);
  assert.equal(
    lines.reduce((sum, line) => sum + line.direct, 0),
    SAE.direct.logit,
  );
  assert.deepEqual(
    lines.map((line) => line.without?.probability ?? null),
    [0.9, null, 0.1, null, null],
  );
  assert.equal(sums({ ...SAE, direct: null }).length, 3); // no straight line: what only the direct path has is left out
});

test('a probability changes by what was lost, and stays one', () => {
  assert.deepEqual(change(without(1, 0.5), Math.log(0.75)), { from: 0.75, to: 0.25 });
  assert.equal(change(without(1, 0.9), Math.log(0.5)).to, 0);
  assert.equal(change(null, 0), null);
});
