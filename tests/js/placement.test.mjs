import assert from 'node:assert/strict';
import test from 'node:test';
import { place } from '../../ui/js/placement.js';

const VIEW = { width: 400, height: 300 };
const wish = (id, x, y) => ({ id, x, y, radius: 5, width: 80, height: 16 });
const box = (placed) => ({ left: placed.left, top: placed.top, right: placed.left + 80, bottom: placed.top + 16 });

test('a label stands to the right of its dot where there is room', () => {
  assert.deepEqual(place([wish(1, 100, 100)], VIEW), [{ id: 1, left: 110, top: 92, side: 'right' }]);
  assert.equal(place([wish(1, 390, 100)], VIEW)[0].side, 'left');
});

test('no two labels overlap and none leaves the view, however dense the dots', () => {
  const wishes = Array.from({ length: 60 }, (_, i) => wish(i, (i * 37) % 400, (i * 53) % 300));
  const view = { ...VIEW, top: 40, bottom: 60 };
  const boxes = place(wishes, view).map(box);
  assert.ok(boxes.length > 10);
  boxes.forEach((a, i) => {
    assert.ok(a.left >= 0 && a.top >= 40 && a.right <= 400 && a.bottom <= 240);
    for (const b of boxes.slice(i + 1))
      assert.ok(a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top);
  });
});

test('the more important label wins the place', () => {
  const placed = place([wish(1, 200, 150), ...Array.from({ length: 8 }, (_, i) => wish(i + 2, 200, 150))], VIEW);
  assert.equal(placed[0].id, 1);
  assert.equal(placed.length, 4); // one a side
});

test('a label keeps its side from frame to frame', () => {
  const before = new Map([[1, 'above']]);
  assert.equal(place([wish(1, 100, 100)], VIEW, before)[0].side, 'above');
});
