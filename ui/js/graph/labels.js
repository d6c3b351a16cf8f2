// @ts-check
// The names beside the dots: HTML, so that they are sharp, styled like the page, and never parsed.

import { el, setText } from '../dom.js';
import { place } from '../placement.js';

/** @import { Item } from './data.js' */
/** @import { Side, View } from '../placement.js' */

const LONGEST = 34; // characters

export class Labels {
  /** @type {View} */ view = { width: 0, height: 0 };
  /** @type {Item[]} most important first */ #items = [];
  /** @type {Map<number, HTMLElement>} by feature */ #elements = new Map();
  /** @type {Map<number, {width: number, height: number}>} */ #sizes = new Map();
  /** @type {Map<number, Side>} */ #sides = new Map();

  /** @param {HTMLElement} home */
  constructor(home) {
    this.home = home;
  }

  /**
   * @param {Item[]} items
   * @param {number | null} selected
   * @param {number | null} pointed
   */
  choose(items, selected, pointed) {
    this.#items = items;
    const wanted = new Set(items.map((item) => item.feature));
    for (const [feature, element] of this.#elements) {
      if (wanted.has(feature)) continue;
      element.remove();
      this.#elements.delete(feature);
      this.#sizes.delete(feature);
      this.#sides.delete(feature);
    }
    for (const { feature, label } of items) {
      let element = this.#elements.get(feature);
      if (!element) {
        element = /** @type {HTMLElement} */ (el('div', { className: 'label' }));
        this.#elements.set(feature, element);
        this.home.append(element);
      }
      const text = label ?? `feature ${feature}`;
      setText(element, text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
      element.classList.toggle('selected', feature === selected);
      element.classList.toggle('pointed', feature === pointed);
      element.classList.toggle('unlabelled', !label);
    }
    // Sizes are read once per text, all together, so that the page is laid out once.
    for (const { feature } of items) {
      const element = this.#elements.get(feature);
      if (element) this.#sizes.set(feature, { width: element.offsetWidth, height: element.offsetHeight });
    }
  }

  /** @param {{toScreen(item: Item): {x: number, y: number, radius: number, visible: boolean}}} scene */
  update(scene) {
    const wishes = [];
    for (const item of this.#items) {
      const at = scene.toScreen(item);
      const size = this.#sizes.get(item.feature);
      if (at.visible && size) wishes.push({ id: item.feature, x: at.x, y: at.y, radius: at.radius, ...size });
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
    for (const [feature, element] of this.#elements) if (!seen.has(feature)) element.style.visibility = 'hidden';
  }
}
