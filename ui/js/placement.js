// @ts-check
// Where the labels of the graph go: beside their dots, inside the view, never over one another. Pure.

/**
 * @typedef {object} Wish
 * @property {number} id
 * @property {number} x        of the dot, in pixels
 * @property {number} y
 * @property {number} radius   of the dot
 * @property {number} width    of the label
 * @property {number} height
 *
 * @typedef {{id: number, left: number, top: number, side: Side}} Placed
 * @typedef {{width: number, height: number, top?: number, bottom?: number}} View   top, bottom: kept free
 * @typedef {"right" | "left" | "above" | "below"} Side
 */

const GAP = 5;
/** @type {Side[]} */
const SIDES = ['right', 'left', 'above', 'below'];

/**
 * Places labels in the order given, most important first; one that fits nowhere is left out.
 * @param {Wish[]} wishes
 * @param {View} view
 * @param {Map<number, Side>} [before]   the sides taken last time, tried first so that labels do not jump
 * @returns {Placed[]}
 */
export function place(wishes, view, before = new Map()) {
  /** @type {{left: number, top: number, right: number, bottom: number}[]} */
  const taken = [];
  /** @type {Placed[]} */
  const placed = [];
  for (const wish of wishes) {
    const last = before.get(wish.id);
    const sides = last ? [last, ...SIDES.filter((side) => side !== last)] : SIDES;
    for (const side of sides) {
      const { left, top } = corner(wish, side);
      const box = { left, top, right: left + wish.width, bottom: top + wish.height };
      const inside =
        left >= 2 &&
        box.right <= view.width - 2 &&
        top >= 2 + (view.top ?? 0) &&
        box.bottom <= view.height - 2 - (view.bottom ?? 0);
      if (inside && !taken.some((other) => overlap(box, other))) {
        taken.push(box);
        placed.push({ id: wish.id, left, top, side });
        break;
      }
    }
  }
  return placed;
}

/** @param {Wish} wish @param {Side} side */
function corner({ x, y, radius, width, height }, side) {
  switch (side) {
    case 'right':
      return { left: x + radius + GAP, top: y - height / 2 };
    case 'left':
      return { left: x - radius - GAP - width, top: y - height / 2 };
    case 'above':
      return { left: x - width / 2, top: y - radius - GAP - height };
    case 'below':
      return { left: x - width / 2, top: y + radius + GAP };
  }
}

/**
 * @param {{left: number, top: number, right: number, bottom: number}} a
 * @param {{left: number, top: number, right: number, bottom: number}} b
 */
function overlap(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
