// @ts-check
// The graph in 2D, drawn on a canvas: where there is no WebGL, or where the user prefers it. Same nodes, same looks.

import { ForceGraph2D } from '../../vendor/graph3d.js';
import { css } from '../color.js';
import { feed, setForces, unfold } from './forces.js';

/** @import { Theme } from '../color.js' */
/** @import { Item, Tie } from './data.js' */
/** @import { Handlers } from './scene3d.js' */

export class Scene2D {
  /** @type {Item[]} */ #items = [];
  #mark = '#fff';
  #framed = true;

  /** The picture. */
  canvas() {
    return this.home.querySelector('canvas');
  }

  /**
   * @param {HTMLElement} home
   * @param {Handlers} handlers
   */
  constructor(home, handlers) {
    this.home = home;
    this.handlers = handlers;
    const graph = new ForceGraph2D(home);
    this.graph = graph;
    graph
      .backgroundColor('rgba(0,0,0,0)')
      .enableNodeDrag(false)
      .nodeId('key')
      .nodeLabel(() => null)
      .autoPauseRedraw(true)
      .nodeVisibility((/** @type {Item} */ item) => !item.hidden)
      .linkVisibility((/** @type {Tie} */ tie) => !tie.hidden)
      .linkColor((/** @type {Tie} */ tie) => css(tie.rgb, tie.alpha))
      .linkWidth(1)
      .nodeCanvasObject((/** @type {Item} */ item, /** @type {CanvasRenderingContext2D} */ context) =>
        this.#dot(item, context),
      )
      .nodePointerAreaPaint(
        (/** @type {Item} */ item, /** @type {string} */ color, /** @type {CanvasRenderingContext2D} */ context) => {
          context.fillStyle = color;
          disc(context, item, Math.max(4, item.radius * 1.25));
        },
      )
      .onNodeClick((/** @type {Item} */ item) => handlers.click(item))
      .onBackgroundClick(() => handlers.click(null))
      .onNodeHover((/** @type {Item | null} */ item) => handlers.hover(item))
      .onRenderFramePost(() => handlers.frame())
      .onZoom(() => handlers.frame())
      .onEngineTick(() => this.#framed && this.#frame(0))
      .onEngineStop(() => this.#framed && this.#frame(0));
    this.heat = setForces(graph, () => this.#items, -1);
    graph.d3Force('charge').strength(-70);
    for (const event of ['wheel', 'pointerdown']) {
      home.addEventListener(event, () => (this.#framed = false), { passive: true });
    }
  }

  /** @param {Item} item @param {CanvasRenderingContext2D} context */
  #dot(item, context) {
    if (item.glow > 0.05) {
      const reach = item.radius * 2.6;
      const shine = context.createRadialGradient(item.x, item.y, item.radius * 0.8, item.x, item.y, reach);
      shine.addColorStop(0, css(item.rgb, 0.38 * item.glow * item.alpha));
      shine.addColorStop(1, css(item.rgb, 0));
      context.fillStyle = shine;
      disc(context, item, reach);
    }
    context.fillStyle = css(item.rgb, item.alpha);
    disc(context, item, item.radius);
    if (item.ring) {
      context.strokeStyle = this.#mark;
      context.globalAlpha = item.ring;
      context.lineWidth = 1;
      context.beginPath();
      context.arc(item.x, item.y, item.radius + 2.5, 0, 2 * Math.PI);
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  /** @param {boolean} paused */
  pause(paused) {
    if (paused) this.graph.pauseAnimation();
    else this.graph.resumeAnimation();
  }

  /** @param {boolean} shown */
  show(shown) {
    this.home.hidden = !shown;
  }

  /** @param {Item[]} items @param {Tie[]} ties @param {{settle: boolean, held: boolean}} how */
  setData(items, ties, how) {
    this.#items = items;
    feed(this.graph, this.heat, items, ties, how);
  }

  /** Nobody moves any more. */
  hold() {
    this.graph.cooldownTicks(0);
  }

  unfold() {
    unfold(this.graph, this.heat);
  }

  /** @param {Theme} theme */
  repaint(theme) {
    this.#mark = theme === 'light' ? '#1b2027' : '#fff';
    // Setting an accessor anew has the library draw again; it would not notice that the items changed.
    this.graph.nodeVisibility(this.graph.nodeVisibility());
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    this.graph.width(width).height(height);
    if (this.#framed) this.#frame(0);
  }

  /** @param {number} ms */
  #frame(ms) {
    const seen = this.#items.filter((item) => !item.hidden);
    if (!seen.length) return;
    const xs = seen.map((item) => item.x).sort((a, b) => a - b);
    const ys = seen.map((item) => item.y).sort((a, b) => a - b);
    const low = Math.floor(0.02 * (seen.length - 1));
    const high = Math.ceil(0.98 * (seen.length - 1));
    const [width, height] = [Math.max(80, xs[high] - xs[low]), Math.max(80, ys[high] - ys[low])];
    this.graph.centerAt((xs[high] + xs[low]) / 2, (ys[high] + ys[low]) / 2, ms);
    this.graph.zoom(Math.min(4, 0.84 * Math.min(this.graph.width() / width, this.graph.height() / height)), ms);
  }

  /** All is kept in view again, whatever the user did with the camera. */
  follow() {
    this.#framed = true;
  }

  /** @param {number} ms */
  fit(ms) {
    this.#framed = true;
    this.#frame(ms);
  }

  /** @param {number} ms */
  reset(ms) {
    this.fit(ms);
  }

  /** @param {Item} item @param {number} ms */
  flyTo(item, ms) {
    this.#framed = false;
    this.graph.centerAt(item.x, item.y, ms);
    this.graph.zoom(Math.max(this.graph.zoom(), 2.2), ms);
  }

  /** @param {Item} item */
  toScreen(item) {
    const { x, y } = this.graph.graph2ScreenCoords(item.x, item.y);
    return { x, y, radius: item.radius * this.graph.zoom(), visible: true };
  }

  stats() {
    return { calls: 0 };
  }

  /** For tests: the layout done and in view. @param {Item[]} items @param {Tie[]} ties */
  async settle(items, ties) {
    this.setData(items, ties, { settle: true, held: false });
    await new Promise((resolve) => setTimeout(resolve, 60)); // the library takes it at its own time
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    this.fit(0);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  }
}

/** @param {CanvasRenderingContext2D} context @param {{x: number, y: number}} at @param {number} radius */
function disc(context, { x, y }, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
