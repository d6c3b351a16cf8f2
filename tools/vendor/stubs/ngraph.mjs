// three-forcegraph imports ngraph but calls it only with `forceEngine('ngraph')`, which we never set: 28 KB saved.
export default function ngraph() {
  throw new Error('ngraph is not part of this build.');
}
