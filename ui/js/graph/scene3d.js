// @ts-check
// The graph in 3D. 3d-force-graph does layout, camera, hover and click; Drawing3D draws.
// Frames are only made while something moves: an idle graph leaves the processor to the model.

import { ForceGraph3D, Object3D, Sphere, Vector3 } from '../../vendor/graph3d.js';
import { calm } from '../dom.js';
import { Drawing3D, LARGEST } from './drawing3d.js';
import { feed, setForces, unfold } from './forces.js';

/** @import { Theme } from '../color.js' */
/** @import { Item, Tie } from './data.js' */

/**
 * @typedef {object} Handlers
 * @property {(item: Item | null) => void} click
 * @property {(item: Item | null) => void} hover
 * @property {() => void} frame     after each frame
 * @property {(lost: boolean) => void} lost
 */

const LINGER = 100; // ms of frames after the last cause of movement
const AT_LEAST = 3; // frames: where each takes long, what was asked for may come with the second
const sphere = new Sphere();
const touched = new Vector3();

/** A node as the mouse finds it: drawn by nobody. */
class Hit extends Object3D {
  /** @param {any} ray @param {any[]} hits */
  raycast(ray, hits) {
    const item = /** @type {any} */ (this).__data;
    if (!item || item.hidden) return;
    sphere.center.copy(item);
    sphere.radius = Math.max(4, item.radius * 1.25);
    if (ray.ray.intersectSphere(sphere, touched)) {
      // The library takes the hit of the smallest "distance". What counts for people is how well they aimed, and that
      // what fires at the cursor is drawn in front.
      const aim = ray.ray.distanceToPoint(sphere.center) / sphere.radius;
      hits.push({ distance: aim + (item.now > 0 ? 0 : 1), point: touched.clone(), object: this });
    }
  }
}

export class Scene3D {
  /** @type {Item[]} */ #items = [];
  /** @type {Tie[]} */ #ties = [];
  #calls = 0;
  #paused = false; // hidden, or not the scene on screen
  #awake = true; // the library is making frames
  #moving = false;
  #until = 0;
  #due = 0; // frames that are to be made in any case
  #framed = true; // the camera keeps all in view until the user takes it
  #atOnce = false; // the layout is done before it is drawn: all comes into view when it is
  #height = 600;
  #inside = false; // the pointer is over the graph

  /**
   * Throws where there is no WebGL.
   * @param {HTMLElement} home
   * @param {Handlers} handlers
   */
  constructor(home, handlers) {
    this.home = home;
    this.handlers = handlers;
    const graph = new ForceGraph3D(home, { controlType: 'orbit', rendererConfig: { antialias: true, alpha: true } });
    this.graph = graph;
    graph
      .backgroundColor('rgba(0,0,0,0)')
      .showNavInfo(false)
      .enableNodeDrag(false)
      .nodeId('key')
      .nodeLabel(() => null)
      .nodeThreeObject(() => new Hit())
      .linkVisibility(false)
      .onNodeClick((/** @type {Item} */ item) => handlers.click(item))
      .onBackgroundClick(() => handlers.click(null))
      .onNodeHover((/** @type {Item | null} */ item) => handlers.hover(this.#inside ? item : null));
    this.heat = setForces(graph, () => this.#items, 1);
    this.drawing = new Drawing3D();
    graph.lights([]);
    graph.scene().add(this.drawing.lines, this.drawing.points);
    this.#frameLoop();
    this.#watchCamera();
    const canvas = graph.renderer().domElement;
    canvas.addEventListener('webglcontextlost', (/** @type {Event} */ event) => {
      event.preventDefault(); // otherwise it never comes back
      handlers.lost(true);
    });
    canvas.addEventListener('webglcontextrestored', () => {
      handlers.lost(false);
      this.wake();
    });
  }

  /** The picture, drawn anew: what WebGL drew is gone once it was shown. */
  canvas() {
    const { graph } = this;
    graph.renderer().render(graph.scene(), graph.camera());
    return /** @type {HTMLCanvasElement} */ (graph.renderer().domElement);
  }

  /** Our part of each frame: before the library renders, buffers; after it, labels. */
  #frameLoop() {
    const { graph } = this;
    const scene = graph.scene();
    scene.onBeforeRender = () => {
      this.#keepFramed();
      this.drawing.write(this.#items, this.#ties, graph.camera());
    };
    scene.onAfterRender = () => {
      this.#calls = graph.renderer().info.render.calls;
      this.handlers.frame();
      this.#due -= 1;
      const over = this.#due <= 0 && performance.now() > this.#until && !this.#moving;
      if (over) queueMicrotask(() => this.#sleep()); // after the frame
    };
    graph
      .onEngineTick(() => (this.#moving = true))
      .onEngineStop(() => {
        this.#moving = false;
        if (this.#atOnce && this.#framed) this.#frame(0);
      });
  }

  #watchCamera() {
    const controls = this.graph.controls();
    Object.assign(controls, {
      enableDamping: true,
      dampingFactor: 0.14,
      rotateSpeed: 0.7,
      zoomSpeed: 0.9,
      minDistance: 30,
      maxDistance: 2500,
    });
    controls.addEventListener('start', () => (this.#framed = false));
    controls.addEventListener('change', () => this.wake());
    for (const event of ['pointermove', 'pointerdown', 'wheel']) {
      this.home.addEventListener(event, () => this.wake(), { passive: true });
    }
    // The library goes on with the pointer's last place after it has left.
    this.home.addEventListener('pointerenter', () => (this.#inside = true));
    this.home.addEventListener('pointerleave', () => {
      this.#inside = false;
      this.handlers.hover(null);
    });
  }

  /** Makes frames for a while. @param {number} [ms] */
  wake(ms = LINGER) {
    this.#until = Math.max(this.#until, performance.now() + ms);
    this.#due = AT_LEAST;
    if (this.#paused || this.#awake) return;
    this.#awake = true;
    this.graph.resumeAnimation();
  }

  #sleep() {
    this.#awake = false;
    this.graph.pauseAnimation();
  }

  /** @param {boolean} paused */
  pause(paused) {
    this.#paused = paused;
    if (paused) this.#sleep();
    else this.wake();
  }

  /** @param {boolean} shown */
  show(shown) {
    this.home.hidden = !shown;
  }

  /**
   * @param {Item[]} items
   * @param {Tie[]} ties
   * @param {{settle: boolean, held: boolean}} how
   */
  setData(items, ties, how) {
    this.#items = items;
    this.#ties = ties;
    feed(this.graph, this.heat, items, ties, how);
    if (!how.held) this.#atOnce = how.settle;
    this.wake();
  }

  /** Nobody moves any more. */
  hold() {
    this.graph.cooldownTicks(0);
    this.wake();
  }

  unfold() {
    unfold(this.graph, this.heat);
    this.#atOnce = calm();
    this.wake();
  }

  /** @param {Theme} theme */
  repaint(theme) {
    const light = theme === 'light';
    this.drawing.mark.value = light ? [0.1, 0.13, 0.16] : [1, 1, 1];
    this.drawing.halo.value = light ? 0.4 : 0.75;
    this.wake();
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    this.#height = height;
    this.graph.width(width).height(height);
    if (this.#framed && !this.#moving) this.#frame(0);
    this.wake();
  }

  // -- camera --------------------------------------------------------------------------------------------------------

  /** Where the camera must be to see all nodes from its present side. */
  #view() {
    const seen = this.#items.filter((item) => !item.hidden);
    if (!seen.length) return null;
    const middle = new Vector3();
    for (const { x, y, z } of seen) middle.add(new Vector3(x, y, z));
    middle.multiplyScalar(1 / seen.length);
    const spans = seen.map(({ x, y, z }) => Math.hypot(x - middle.x, y - middle.y, z - middle.z)).sort((a, b) => a - b);
    const reach = Math.max(45, spans[Math.floor(0.985 * (spans.length - 1))] + 12); // a stray node may stay outside
    const camera = this.graph.camera();
    const narrow = Math.min(1, camera.aspect);
    const distance = (1.04 * reach) / (Math.tan((camera.fov * Math.PI) / 360) * narrow);
    return { middle, distance, reach };
  }

  /** @param {number} ms */
  #frame(ms) {
    const view = this.#view();
    if (!view) return;
    const camera = this.graph.camera();
    const target = this.graph.controls().target;
    const side = new Vector3().copy(camera.position).sub(target);
    if (side.length() < 1) side.set(0, 0, 1);
    const to = side.normalize().multiplyScalar(view.distance).add(view.middle);
    this.graph.cameraPosition(to, view.middle, ms);
    this.wake(ms + LINGER);
  }

  /** While nobody has taken the camera it follows the growing graph, slowly. */
  #keepFramed() {
    const view = this.#view();
    const camera = this.graph.camera();
    const target = this.graph.controls().target;
    const distance = new Vector3().copy(camera.position).sub(target).length();
    this.drawing.scale.value =
      (this.#height * this.graph.renderer().getPixelRatio()) / (2 * Math.tan((camera.fov * Math.PI) / 360));
    this.drawing.largest.value = 2 * LARGEST * this.graph.renderer().getPixelRatio();
    if (view) this.drawing.haze.value = [distance - 0.6 * view.reach, distance + 1.4 * view.reach];
    if (!view || !this.#framed || !this.#moving) return;
    const side = new Vector3().copy(camera.position).sub(target).normalize();
    const to = side.multiplyScalar(distance + (view.distance - distance) * 0.05);
    target.lerp(view.middle, 0.05);
    camera.position.copy(to.add(target));
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
    const view = this.#view() ?? { middle: new Vector3(), distance: 300 };
    this.#framed = true;
    this.graph.cameraPosition(
      { x: view.middle.x, y: view.middle.y, z: view.middle.z + view.distance },
      view.middle,
      ms,
    );
    this.wake(ms + LINGER);
  }

  /** @param {Item} item @param {number} ms */
  flyTo(item, ms) {
    const camera = this.graph.camera();
    const side = new Vector3().copy(camera.position).sub(this.graph.controls().target).normalize();
    const now = new Vector3()
      .copy(camera.position)
      .sub(new Vector3(item.x, item.y, item.z))
      .length();
    const near = Math.min(now, Math.max(200, 0.7 * (this.#view()?.distance ?? now)));
    const to = side.multiplyScalar(near).add(new Vector3(item.x, item.y, item.z));
    this.#framed = false;
    this.graph.cameraPosition(to, { x: item.x, y: item.y, z: item.z }, ms);
    this.wake(ms + LINGER);
  }

  // -- questions -----------------------------------------------------------------------------------------------------

  /** @param {Item} item */
  toScreen(item) {
    const camera = this.graph.camera();
    const m = camera.matrixWorldInverse.elements;
    const depth = -(m[2] * item.x + m[6] * item.y + m[10] * item.z + m[14]);
    const { x, y } = this.graph.graph2ScreenCoords(item.x, item.y, item.z);
    const scale = this.drawing.scale.value / this.graph.renderer().getPixelRatio();
    return { x, y, radius: Math.min(LARGEST, (item.radius * scale) / depth), visible: depth > camera.near };
  }

  stats() {
    const { memory } = this.graph.renderer().info;
    return { calls: this.#calls, geometries: memory.geometries, textures: memory.textures, moving: this.#moving };
  }

  /** For tests: the layout done and in view, with nothing moving. @param {Item[]} items @param {Tie[]} ties */
  async settle(items, ties) {
    this.setData(items, ties, { settle: true, held: false });
    await new Promise((resolve) => setTimeout(resolve, 60)); // the library takes it at its own time
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    this.fit(0);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  }
}
