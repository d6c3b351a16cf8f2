// three-render-objects imports WebGPURenderer but builds it only with `useWebGPU`, which we never set: 530 KB saved.
export class WebGPURenderer {
  constructor() {
    throw new Error('WebGPU is not part of this build.');
  }
}
