import assert from 'node:assert/strict';
import test from 'node:test';
import {
  analysis,
  counted,
  endReason,
  familyName,
  featureName,
  hookName,
  moment,
  number,
  percent,
  progressOf,
  quoted,
  size,
} from '../../ui/js/words.js';

test('a feature without a label says so, and why', () => {
  assert.equal(featureName(1234, null, 'unlabelled'), 'feature 1234 (no label)');
  assert.equal(featureName(1234, null, 'absent'), 'feature 1234 (not in the label set)');
  assert.equal(featureName(1234, null, 'pending'), 'feature 1234 (label on its way)');
  assert.equal(featureName(1234, null, 'unavailable'), 'feature 1234 (label not reachable)');
  assert.equal(featureName(1234, 'a capital city', 'labelled'), 'a capital city');
});

test('white space in tokens is visible', () => {
  assert.equal(quoted(' is'), '“ is”');
  assert.equal(quoted('\n\n'), '“↵↵”');
  assert.equal(quoted('  '), '“␣␣”');
});

test('numbers say as much as they mean', () => {
  assert.deepEqual([0, 0.034, 9.876, 12.34, 123.4, null, undefined, NaN].map(number), [
    '0.00',
    '0.03',
    '9.88',
    '12.3',
    '123',
    '–',
    '–',
    '–',
  ]);
  assert.deepEqual([0, 0.0004, 0.034, 0.5, 1, null].map(percent), ['0 %', '0.040 %', '3.4 %', '50 %', '100 %', '–']);
  assert.deepEqual([900, 4_200_000, 42_000_000, 1_500_000_000].map(size), ['900 B', '4.2 MB', '42 MB', '1.5 GB']);
  assert.deepEqual([counted(1, 'token'), counted(1234, 'token')], ['1 token', '1,234 tokens']);
});

test('hook points and endings in words; unknown ones as they are', () => {
  assert.equal(hookName('blocks.2.hook_resid_post'), 'layer 2, after the block');
  assert.equal(hookName('blocks.11.attn.hook_z'), 'layer 11, attn.hook_z');
  assert.equal(hookName('hook_embed'), 'hook_embed');
  assert.equal(endReason('context_full'), 'finished: the context is full');
  assert.equal(endReason('something_new'), 'something_new');
});

test('moments are short, and nonsense is nothing', () => {
  const now = new Date(2026, 10, 22, 12, 0);
  assert.match(moment(new Date(2026, 10, 22, 9, 5).toISOString(), now), /^\D*0?9.05/);
  assert.match(moment(new Date(2025, 0, 3).toISOString(), now), /2025/);
  assert.equal(moment('never', now), '');
});

test('a download says how far it has come', () => {
  assert.equal(progressOf(123_000_000, 548_000_000), '123 MB of 548 MB (22 %)');
  assert.equal(progressOf(0, 0), '0 B of 0 B');
  assert.equal(familyName('gemma2'), 'Gemma 2');
  assert.equal(familyName('mamba'), 'mamba');
});

test('what an analyser found is a number with its unit, or a quoted text', () => {
  assert.equal(analysis(1.234, { unit: 'nats' }), '1.23 nats');
  assert.equal(analysis(1.234, undefined), '1.23');
  assert.equal(analysis(' Paris', { unit: '' }), '“ Paris”');
  assert.equal(analysis(undefined, { unit: 'nats' }), '–');
  assert.deepEqual(
    [0, 7, -3, 12.345, 0.00123, 1234567.8, 3e12, -2e-7].map((value) => analysis(value)),
    ['0', '7', '-3', '12.3', '0.0012', '1,234,568', '3.0e+12', '-2.0e-7'],
  );
});
