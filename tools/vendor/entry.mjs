// What ui/vendor/graph3d.js exports: the two force graphs and the few three classes that our own drawing needs.
export { default as ForceGraph3D } from '3d-force-graph';
export { default as ForceGraph2D } from 'force-graph';
export {
  BufferAttribute,
  BufferGeometry,
  DynamicDrawUsage,
  LineSegments,
  NormalBlending,
  Object3D,
  Points,
  ShaderMaterial,
  Sphere,
  Vector3,
} from 'three';
