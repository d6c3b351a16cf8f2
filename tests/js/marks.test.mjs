import assert from 'node:assert/strict';
import test from 'node:test';
import { Marks } from '../../ui/js/marks.js';
import { startRemembering } from '../../ui/js/remember.js';

/** Marks that remember, and what they told the program. */
function begun(remembered = {}) {
  const told = {};
  startRemembering(remembered, (name, value) => Object.assign(told, { [name]: value }));
  return { marks: new Marks(), told };
}

test('a feature is pinned or muted, never both, and is so at the next start', () => {
  const { marks, told } = begun();
  marks.toggle('pinned', 'm/1', 7);
  marks.toggle('pinned', 'm/2', 7);
  marks.toggle('muted', 'm/1', 7);
  assert.equal(marks.has('pinned', 'm/1', 7), false);
  assert.equal(marks.has('muted', 'm/1', 7), true);
  assert.deepEqual(marks.of('pinned', ['m/1', 'm/2']), [{ sae: 'm/2', feature: 7 }]);
  const again = begun(JSON.parse(JSON.stringify(told))).marks;
  assert.equal(again.has('muted', 'm/1', 7), true);
  assert.deepEqual(again.of('pinned', ['m/2']), [{ sae: 'm/2', feature: 7 }]);
  again.toggle('pinned', 'm/2', 7);
  assert.deepEqual(again.of('pinned', ['m/2']), []);
});

test('marks are taken off the SAEs on screen alone', () => {
  const { marks } = begun();
  marks.toggle('muted', 'm/1', 7);
  marks.toggle('muted', 'm/2', 8);
  marks.clear('muted', ['m/1']);
  assert.deepEqual(marks.of('muted', ['m/1', 'm/2']), [{ sae: 'm/2', feature: 8 }]);
});

test('what was remembered wrongly is forgotten', () => {
  for (const pinned of ['x', [1, null, ['m/1', 'seven'], ['m/1', 7]], { 0: 1 }]) {
    const marked = begun({ pinned }).marks.of('pinned', ['m/1']);
    assert.deepEqual(marked, Array.isArray(pinned) ? [{ sae: 'm/1', feature: 7 }] : []);
  }
});
