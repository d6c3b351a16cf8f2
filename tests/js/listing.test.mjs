import assert from 'node:assert/strict';
import test from 'node:test';
import { listed } from '../../ui/js/listing.js';

const ACTIVE = [
  { feature: 12, activation: 9, effect: -0.5, label: 'a country in Europe', label_state: 'labelled' },
  { feature: 3, activation: 5, effect: null, label: null, label_state: 'absent' },
  { feature: 7, activation: 2, effect: 2, label: 'A capital', label_state: 'labelled' },
  { feature: 120, activation: 1, effect: 0.1, label: 'a full stop', label_state: 'labelled' },
];
const ALL = { above: 0, filter: '', sortBy: 'activation', always: null, muted: () => false };
const of = (wish) => listed(ACTIVE, { ...ALL, ...wish }).rows.map((one) => one.feature);

test('nothing wished, all are listed, strongest first', () => assert.deepEqual(of({}), [12, 3, 7, 120]));

test('by effect: what speaks for the next token first, what speaks against it last, unknown at the end', () => {
  assert.deepEqual(of({ sortBy: 'effect' }), [7, 120, 12, 3]);
  assert.deepEqual(
    ACTIVE.map((one) => one.feature),
    [12, 3, 7, 120],
  ); // the session itself stays as it is
});

test('a filter wants all of its words, in any case, or a number', () => {
  assert.deepEqual(of({ filter: 'CAP' }), [7]);
  assert.deepEqual(of({ filter: ' europe  a ' }), [12]);
  assert.deepEqual(of({ filter: '3' }), [3]);
  assert.deepEqual(of({ filter: '.*' }), []);
});

test('what is muted or always on is left out and counted, what is too weak is not even counted', () => {
  const wish = { above: 2, muted: (feature) => feature === 3, always: (feature) => feature > 11 };
  assert.deepEqual(listed(ACTIVE, { ...ALL, ...wish }), { rows: [ACTIVE[2]], muted: 1, always: 1 });
});
