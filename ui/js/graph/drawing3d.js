// @ts-check
// All dots in one Points object, all edges in one LineSegments object: two draw calls for any graph.

import {
  BufferAttribute,
  BufferGeometry,
  DynamicDrawUsage,
  LineSegments,
  NormalBlending,
  Points,
  ShaderMaterial,
} from '../../vendor/graph3d.js';

/** @import { Item, Tie } from './data.js' */

const NODES = 2048;
const EDGES = 8192;
export const LARGEST = 24; // radius on screen in CSS pixels, however near the camera is
const QUAD = 4; // a dot's square is this many times as wide as its core, to leave room for glow and ring

const DOT_VERTEX = `
  attribute vec3 tint; attribute vec4 look; // look: radius, alpha, glow, ring
  uniform float scale; uniform float largest; uniform vec2 haze;
  varying vec3 vTint; varying vec4 vLook; varying float vPixels;
  void main() {
    vec4 seen = modelViewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * seen;
    vPixels = clamp(2.0 * look.x * scale / -seen.z, 2.6, largest);
    gl_PointSize = vPixels * ${QUAD.toFixed(1)};
    vTint = tint; vLook = look;
    vLook.y *= mix(1.0, 0.45, smoothstep(haze.x, haze.y, -seen.z) * (1.0 - look.w));
  }`;

const DOT_FRAGMENT = `
  uniform vec3 mark; uniform float halo;
  varying vec3 vTint; varying vec4 vLook; varying float vPixels;
  void main() {
    vec2 p = (gl_PointCoord - 0.5) * ${(2 * QUAD).toFixed(1)}; // 1 at the rim of the core
    float d = length(p), soft = 3.0 / vPixels;
    float core = 1.0 - smoothstep(1.0 - soft, 1.0 + soft * 0.3, d);
    float light = 1.0 + 0.30 * vLook.z * (1.0 - smoothstep(0.0, 0.9, length(p + vec2(0.28, 0.32))));
    float around = halo * vLook.z * pow(max(0.0, 1.0 - d / ${QUAD.toFixed(1)}), 3.0);
    float pixel = 2.0 / vPixels; // the ring is as thick on a large dot as on a small one
    float off = abs(d - min(1.0 + 5.0 * pixel, ${(QUAD - 0.5).toFixed(1)})) / pixel;
    float ring = step(0.01, vLook.w) * (1.0 - smoothstep(0.8, 1.7, off)) * (0.4 + 0.6 * vLook.w);
    float alpha = max(max(core, around) * vLook.y, ring);
    if (alpha < 0.004) discard;
    vec3 color = mix(vTint * light, mark, ring * (1.0 - core));
    gl_FragColor = vec4(pow(min(color, 1.0), vec3(2.2)), alpha);
    #include <colorspace_fragment>
  }`;

const LINE_VERTEX = `
  attribute vec4 tint; uniform vec2 haze; varying vec4 vTint;
  void main() {
    vec4 seen = modelViewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * seen;
    vTint = tint;
    vTint.a *= mix(1.0, 0.3, smoothstep(haze.x, haze.y, -seen.z));
  }`;

const LINE_FRAGMENT = `
  varying vec4 vTint;
  void main() {
    gl_FragColor = vec4(pow(vTint.rgb, vec3(2.2)), vTint.a);
    #include <colorspace_fragment>
  }`;

export class Drawing3D {
  constructor() {
    const shared = { transparent: true, depthTest: false, depthWrite: false, blending: NormalBlending };
    this.haze = { value: [200, 600] };
    this.scale = { value: 500 };
    this.largest = { value: 2 * LARGEST };
    this.mark = { value: [1, 1, 1] };
    this.halo = { value: 0.7 };

    this.dotAttributes = { position: buffer(NODES, 3), tint: buffer(NODES, 3), look: buffer(NODES, 4) };
    this.lineAttributes = { position: buffer(2 * EDGES, 3), tint: buffer(2 * EDGES, 4) };
    const dots = geometry(this.dotAttributes);
    const segments = geometry(this.lineAttributes);
    this.points = new Points(
      dots,
      new ShaderMaterial({
        ...shared,
        vertexShader: DOT_VERTEX,
        fragmentShader: DOT_FRAGMENT,
        uniforms: { scale: this.scale, largest: this.largest, haze: this.haze, mark: this.mark, halo: this.halo },
      }),
    );
    this.lines = new LineSegments(
      segments,
      new ShaderMaterial({
        ...shared,
        vertexShader: LINE_VERTEX,
        fragmentShader: LINE_FRAGMENT,
        uniforms: { haze: this.haze },
      }),
    );
    this.dots = dots;
    this.segments = segments;
    for (const object of [this.points, this.lines]) {
      object.frustumCulled = false;
      object.raycast = () => {};
    }
    this.points.renderOrder = 1;
  }

  /**
   * Copies nodes and edges into the buffers. Nodes are drawn in order: what fires at the cursor in front of the rest,
   * and among equals the nearer in front of the farther.
   * @param {Item[]} items
   * @param {Tie[]} ties
   * @param {any} camera
   */
  write(items, ties, camera) {
    const m = camera.matrixWorldInverse.elements;
    const depth = (/** @type {Item} */ item) => m[2] * item.x + m[6] * item.y + m[10] * item.z;
    const front = (/** @type {Item} */ item) => (item.ring ? 2 : item.now > 0 ? 1 : 0);
    const drawn = items
      .filter((item) => !item.hidden)
      .sort((a, b) => front(a) - front(b) || depth(a) - depth(b))
      .slice(-NODES);
    const { position, tint, look } = this.dotAttributes;
    drawn.forEach(({ x, y, z, rgb, radius, alpha, glow, ring }, i) => {
      position.array.set([x, y, z], 3 * i);
      tint.array.set(rgb, 3 * i);
      look.array.set([radius, alpha, glow, ring], 4 * i);
    });
    finish(this.dots, this.dotAttributes, drawn.length);

    const { position: ends, tint: colors } = this.lineAttributes;
    let i = 0;
    for (const { source, target, rgb, alpha, hidden } of ties) {
      if (hidden || i >= EDGES) continue;
      ends.array.set([source.x, source.y, source.z, target.x, target.y, target.z], 6 * i);
      colors.array.set([...rgb, alpha, ...rgb, alpha], 8 * i);
      i++;
    }
    finish(this.segments, this.lineAttributes, 2 * i);
  }
}

/** @param {number} count @param {number} width */
const buffer = (count, width) => new BufferAttribute(new Float32Array(count * width), width).setUsage(DynamicDrawUsage);

/** @param {Record<string, BufferAttribute>} attributes */
function geometry(attributes) {
  const made = new BufferGeometry();
  for (const [name, attribute] of Object.entries(attributes)) made.setAttribute(name, attribute);
  made.setDrawRange(0, 0);
  return made;
}

/** @param {BufferGeometry} made @param {Record<string, BufferAttribute>} attributes @param {number} count */
function finish(made, attributes, count) {
  for (const attribute of Object.values(attributes)) {
    attribute.clearUpdateRanges();
    attribute.addUpdateRange(0, count * /** @type {any} */ (attribute).itemSize);
    attribute.needsUpdate = true;
  }
  made.setDrawRange(0, count);
}
