import assert from 'node:assert/strict';
import { test } from 'node:test';

import { analysisOf, byAnalysis, noteNumbers, sharesOf } from '../../ui/js/coloring.js';
import { step } from './messages.mjs';

const SAE = 'm/1';
const steps = [
  { ...step(0), analyses: {} },
  { ...step(1), analyses: { surprise: 3, word: 'a' } },
  { ...step(2), analyses: { surprise: 12, word: 'b', rare: 2 } },
  { ...step(3), analyses: { surprise: -1 } },
];
const by = (/** @type {string} */ colorBy, feature = null) => ({ colorBy, sae: SAE, feature });

test('an analysis colors in full from what counts as high', () => {
  const analysers = { surprise: { about: '', high: 6, unit: 'nats' } };
  assert.deepEqual(sharesOf(steps, by(byAnalysis('surprise')), analysers), [0, 0.5, 1, 0]);
});

test('without such a mark the highest is colored in full', () => {
  const analysers = { surprise: { about: '', high: null, unit: '' } };
  assert.deepEqual(sharesOf(steps, by(byAnalysis('surprise')), analysers), [0, 0.25, 1, 0]);
  assert.deepEqual(sharesOf(steps, by(byAnalysis('surprise')), {}), [0, 0.25, 1, 0]); // its plugin is gone
});

test('what a session does not have, or is a text, colors nothing', () => {
  for (const name of ['gone', 'word']) assert.deepEqual(sharesOf(steps, by(byAnalysis(name)), {}), [0, 0, 0, 0]);
  assert.deepEqual(sharesOf([], by(byAnalysis('surprise')), {}), []);
  assert.deepEqual(sharesOf(steps, by('feature'), {}), [0, 0, 0, 0]);
});

test('steps of an older program have no analyses', () => {
  const { analyses, ...older } = steps[1];
  assert.deepEqual(sharesOf([older], by(byAnalysis('surprise')), {}), [0]);
  const names = new Set();
  noteNumbers(names, [older]);
  assert.equal(names.size, 0);
});

test('only analyses that are numbers are offered', () => {
  const names = new Set();
  noteNumbers(names, steps);
  assert.deepEqual([...names], ['surprise', 'rare']);
});

test('an analysis may have any name', () => {
  for (const name of ['surprise', 'feature', 'unexplained', '', 'analysis x']) {
    assert.equal(analysisOf(byAnalysis(name)), name);
  }
  assert.equal(analysisOf('feature'), null);
  assert.equal(analysisOf('unexplained'), null);
});
