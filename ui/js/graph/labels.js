// @ts-check
// The names beside the dots: HTML, so that they are sharp, styled like the page, and never parsed.

import { el } from '../dom.js';
import { isAutomatic, shortened } from '../label-words.js';
import { place } from '../placement.js';

/** @import { Item } from './data.js' */
/** @import { Side, View } from '../placement.js' */

const LONGEST = 34; // characters

export class Labels {
  /** @type {View} */ view = { width: 0, height: 0 };
  /** @type {Item[]} most important first */ #items = [];
  /** @type {Map<number, HTMLElement>} by key */ #elements = new Map();
  /** @type {Map<number, {width: number, height: number}>} */ #sizes = new Map();
  /** @type {Map<number, Side>} */ #sides = new Map();

  /** @param {HTMLElement} home */
  constructor(home) {
    this.home = home;
  }

  /** Writes the names where they stand on screen. @param {CanvasRenderingContext2D} pen */
  paint(pen) {
    const home = this.home.getBoundingClientRect();
    for (const element of this.#elements.values()) {
      const { left, top, width, height } = element.getBoundingClientRect();
      const style = getComputedStyle(element);
      if (!width || style.visibility === 'hidden' || Number(style.opacity) < 0.1) continue;
      pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
      pen.fillStyle = style.color;
      pen.textAlign = 'center';
      pen.textBaseline = 'middle';
      pen.fillText(element.textContent ?? '', left - home.left + width / 2, top - home.top + height / 2);
    }
  }

  /**
   * @param {Item[]} items
   * @param {number | null} selected   a key
   * @param {number | null} pointed
   */
  choose(items, selected, pointed) {
    this.#items = items;
    const wanted = new Set(items.map((item) => item.key));
    for (const [key, element] of this.#elements) {
      if (wanted.has(key)) continue;
      element.remove();
      this.#elements.delete(key);
      this.#sizes.delete(key);
      this.#sides.delete(key);
    }
    /** @type {number[]} */
    const changed = [];
    for (const { key, feature, label, label_state } of items) {
      const element = this.#elements.get(key) ?? this.#add(key);
      const text = shortened(label ?? `feature ${feature}`, LONGEST);
      const look = [
        !label && 'unlabelled',
        isAutomatic(label, label_state) && 'automatic',
        key === selected && 'selected',
        key === pointed && 'pointed',
      ];
      const className = ['label', ...look.filter(Boolean)].join(' ');
      if (element.textContent !== text || element.className !== className) {
        element.textContent = text;
        element.className = className;
        this.#sizes.delete(key);
      }
      if (!this.#sizes.has(key)) changed.push(key);
    }
    // Sizes are read once per label and look, all together: each reading has the browser lay out the page.
    for (const key of changed) {
      const { offsetWidth: width, offsetHeight: height } = /** @type {HTMLElement} */ (this.#elements.get(key));
      this.#sizes.set(key, { width, height });
    }
  }

  /** @param {number} key */
  #add(key) {
    const element = /** @type {HTMLElement} */ (el('div'));
    this.#elements.set(key, element);
    this.home.append(element);
    return element;
  }

  /** @param {{toScreen(item: Item): {x: number, y: number, radius: number, visible: boolean}}} scene */
  update(scene) {
    const wishes = [];
    for (const item of this.#items) {
      const at = scene.toScreen(item);
      const size = this.#sizes.get(item.key);
      if (at.visible && size) wishes.push({ id: item.key, x: at.x, y: at.y, radius: at.radius, ...size });
    }
    const placed = place(wishes, this.view, this.#sides);
    const seen = new Set();
    for (const { id, left, top, side } of placed) {
      const element = this.#elements.get(id);
      if (!element) continue;
      seen.add(id);
      this.#sides.set(id, side);
      element.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
      element.style.visibility = 'visible';
    }
    for (const [key, element] of this.#elements) if (!seen.has(key)) element.style.visibility = 'hidden';
  }
}
