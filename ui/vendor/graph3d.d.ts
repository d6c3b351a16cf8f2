// Types of ui/vendor/graph3d.js, as loose as the chained setters of the two force graphs demand.
/* eslint-disable @typescript-eslint/no-explicit-any */
export const ForceGraph3D: new (element: HTMLElement, options?: Record<string, unknown>) => any;
export const ForceGraph2D: new (element: HTMLElement) => any;

export class Vector3 {
  constructor(x?: number, y?: number, z?: number);
  x: number;
  y: number;
  z: number;
  copy(v: { x: number; y: number; z: number }): this;
  clone(): Vector3;
  set(x: number, y: number, z: number): this;
  add(v: Vector3): this;
  sub(v: Vector3): this;
  multiplyScalar(s: number): this;
  normalize(): this;
  length(): number;
  distanceTo(v: Vector3): number;
  lerp(v: Vector3, alpha: number): this;
}
export class Sphere {
  center: Vector3;
  radius: number;
}
export class Object3D {
  position: Vector3;
  visible: boolean;
  frustumCulled: boolean;
  renderOrder: number;
  raycast(raycaster: any, hits: any[]): void;
}
export class BufferAttribute {
  constructor(array: Float32Array, itemSize: number);
  array: Float32Array;
  needsUpdate: boolean;
  setUsage(usage: number): this;
  clearUpdateRanges(): void;
  addUpdateRange(start: number, count: number): void;
}
export class BufferGeometry {
  setAttribute(name: string, attribute: BufferAttribute): this;
  setDrawRange(start: number, count: number): void;
}
export class ShaderMaterial {
  constructor(options: Record<string, unknown>);
  uniforms: Record<string, { value: any }>;
}
export class Points extends Object3D {
  constructor(geometry: BufferGeometry, material: ShaderMaterial);
}
export class LineSegments extends Object3D {
  constructor(geometry: BufferGeometry, material: ShaderMaterial);
}
export const DynamicDrawUsage: number;
export const NormalBlending: number;
