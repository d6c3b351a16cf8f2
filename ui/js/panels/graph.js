// @ts-check
// The graph of features that fired up to the cursor. Which nodes and edges: the program says. How they look at the
// cursor: computed here from the steps, so that scrubbing recolors at once. Where they are: the force layout of the
// scene, 3D or 2D, which share the same node objects.

import { $, calm, el, setText } from '../dom.js';
import { activationColor, gradient, hex } from '../color.js';
import { GraphData } from '../graph/data.js';
import { Labels } from '../graph/labels.js';
import { Scene2D } from '../graph/scene2d.js';
import { Scene3D } from '../graph/scene3d.js';
import { recall, remember } from '../remember.js';
import { strongestUpTo } from '../session.js';
import { theme } from '../theme.js';
import { glowAt } from '../trail.js';
import { counted, featureName } from '../words.js';

/** @import { Item, Tie } from '../graph/data.js' */
/** @import { State } from '../state.js' */

const LABELS = 12; // at most, the strongest at the cursor first

const MEANING = {
  lift: 'Edges: fired together more than their own rates predict, at least twice (lift).',
  count: 'Edges: raw counts of firing together, at least twice.',
};

/**
 * @param {State} state
 * @param {(prompt: string) => void} runExample
 */
export function graphPanel(state, runExample) {
  const place = $('graph');
  const notice = $('graph-notice');
  const data = new GraphData();
  const labels = new Labels($('graph-labels'));
  let flat = recall('flat', false);
  let held = false; // by the user
  /** @type {Scene3D | Scene2D | null} */
  let scene = null;
  /** @type {Scene3D | null} one per page: WebGL contexts are not given back in time */
  let scene3d = null;
  /** @type {Scene2D | null} */
  let scene2d = null;

  const handlers = {
    click: (/** @type {Item | null} */ item) => state.inspect(item ? item.feature : null),
    hover: (/** @type {Item | null} */ item) => state.point(item ? item.feature : null),
    frame: () => scene && labels.update(scene),
    /** @param {boolean} lost */
    lost(lost) {
      notice.hidden = !lost;
      notice.textContent = 'The graphics card let go of the picture. It comes back by itself, or press G for 2D.';
    },
  };

  // -- 3D or 2D ------------------------------------------------------------------------------------------------------

  function openScene() {
    scene?.pause(true);
    if (!flat && !scene3d) {
      const home = el('div', { className: 'scene' });
      place.append(home);
      try {
        scene3d = new Scene3D(home, handlers);
      } catch (error) {
        home.remove();
        flat = true;
        console.info(`3D is not available here: ${error}`);
        notice.hidden = false;
        notice.replaceChildren('No WebGL here: the graph is drawn in 2D.');
        setTimeout(() => (notice.hidden = true), 8000);
      }
    }
    if (flat && !scene2d) {
      const home = el('div', { className: 'scene' });
      place.append(home);
      scene2d = new Scene2D(home, handlers);
    }
    scene = flat ? scene2d : scene3d;
    scene3d?.show(scene === scene3d);
    scene2d?.show(scene === scene2d);
    place.dataset.mode = flat ? '2d' : '3d';
    setText($('dimensions'), flat ? '2D' : '3D');
    resize();
    recolor();
    scene?.setData(data.items, data.ties, { settle: true, held: false });
    scene?.pause(document.hidden);
  }

  function toggleDimensions() {
    flat = !flat;
    remember('flat', flat);
    openScene();
  }

  function resize() {
    const { clientWidth: width, clientHeight: height } = place;
    if (!width || !height) return;
    labels.view = { width, height, top: 44, bottom: 62 }; // the toolbar above, the legend below
    scene?.resize(width, height);
  }

  // -- what is drawn ---------------------------------------------------------------------------------------------------

  let shown = '';
  function relayout() {
    const of = state.session ? `${state.session.uid} ${state.sae}` : '';
    const fresh = of !== shown;
    if (fresh) {
      shown = of;
      data.clear();
    }
    if (fresh || state.graph) data.take(state.graph);
    recolor();
    const first = fresh || !laidOut;
    // While the user scrubs, dots stay where they are; a session opened as a whole is laid out at once.
    scene?.setData(data.items, data.ties, { settle: first && !state.following, held: held || (!state.following && !first) });
    laidOut = data.items.length > 0;
    describe();
  }
  let laidOut = false;

  function recolor() {
    const { session, sae, t, feature, hover } = state;
    const strongest = strongestUpTo(session, sae, t) || 1;
    const glow = session ? glowAt(session.steps, sae, t) : new Map();
    const selected = feature && feature.sae === sae ? feature.feature : null;
    const center = selected === null ? undefined : data.byFeature.get(selected);
    const near = center && center.first <= t && data.items.includes(center) ? data.neighbours(center.feature) : null;
    const mode = theme();
    const silent = hex(mode === 'dark' ? '#4a5568' : '#b4bcc8');
    const line = hex(mode === 'dark' ? '#8fa3c4' : '#5b6b85');
    const lit = activationColor(1, mode);

    for (const item of data.items) {
      const { now = 0, trail = 0 } = glow.get(item.feature) ?? {};
      const share = Math.min(1, trail / strongest);
      item.hidden = item.first > t;
      item.now = now;
      item.share = share;
      item.radius = 2.1 + 7.4 * Math.sqrt(share);
      item.rgb = share > 0.02 ? activationColor(share ** 0.7, mode) : silent; // most activations are far from the strongest
      item.alpha = now > 0 ? 1 : 0.45 + 0.4 * share;
      item.glow = now > 0 ? Math.sqrt(share) : share * 0.3;
      item.ring = item.feature === selected ? 1 : item.feature === hover ? 0.5 : 0;
      if (near && !near.has(item.feature) && item.feature !== hover) item.alpha *= 0.36;
    }
    for (const tie of data.ties) {
      const { source, target } = tie;
      const both = Math.min(source.share, target.share);
      const touched = selected !== null && (source.feature === selected || target.feature === selected);
      const pointed = hover !== null && (source.feature === hover || target.feature === hover);
      tie.hidden = source.hidden || target.hidden;
      tie.rgb = touched || pointed ? lit : line;
      tie.alpha = touched ? 0.85 : pointed ? 0.6 : (0.12 + 0.26 * tie.weight + 0.45 * both) * (near ? 0.3 : 1);
    }
    chooseLabels(selected, near);
    scene?.repaint(mode);
  }

  /**
   * The strongest at the cursor, or those joined to the selected one; and whatever is selected or pointed at.
   * @param {number | null} selected
   * @param {Set<number> | null} near
   */
  function chooseLabels(selected, near) {
    const chosen = data.items
      .filter((item) => !item.hidden && (near ? near.has(item.feature) : item.now > 0))
      .sort((x, y) => y.now - x.now || y.share - x.share)
      .slice(0, LABELS);
    for (const feature of [state.hover, selected]) {
      const item = feature === null ? undefined : data.byFeature.get(feature);
      if (!item || item.hidden) continue;
      const at = chosen.indexOf(item);
      if (at >= 0) chosen.splice(at, 1);
      chosen.unshift(item);
    }
    labels.choose(chosen, selected, state.hover);
    if (scene) labels.update(scene); // at once: the next frame may be a while away
  }

  function describe() {
    const active = data.items.filter((item) => !item.hidden && item.now > 0).sort((x, y) => y.now - x.now);
    const names = active.slice(0, 3).map((item) => featureName(item.feature, item.label, item.label_state));
    const summary = data.items.length
      ? `Graph of ${counted(data.items.length, 'feature')} and ${counted(data.ties.length, 'edge')}. Strongest at the cursor: ${names.join(', ') || 'none'}.`
      : 'No features yet';
    place.setAttribute('aria-label', `${summary} The list of active features holds the same.`);
  }

  // -- the empty state -------------------------------------------------------------------------------------------------

  function drawEmpty() {
    const empty = $('empty');
    empty.hidden = !state.hello || state.session !== null || state.running;
    const examples = state.hello?.models.find((model) => model.id === state.model)?.examples ?? [];
    empty.replaceChildren(
      el('h2', {}, 'Watch the concepts that fire while a model writes'),
      el('p', {}, 'Each dot is a feature: something the model has learned to notice, such as “a country” or “a number is next”. It lights up at the tokens where it fires. Features that fire together are joined.'),
      el('p', { className: 'muted' }, !state.hello?.models.length ? 'No model is there to run. Models come from plugins; the list of problems says why none did.'
        : examples.length ? 'Type a prompt, or begin with one of these:' : 'Type a prompt to begin.'),
      el('div', { className: 'examples' }, ...examples.map((text) =>
        el('button', { type: 'button', 'data-example': text, onclick: () => runExample(text) }, text))));
  }

  // -- wiring ------------------------------------------------------------------------------------------------------------

  const fit = () => scene?.fit(calm() ? 0 : 500);
  const reset = () => scene?.reset(calm() ? 0 : 500);
  $('fit').addEventListener('click', fit);
  $('reset').addEventListener('click', reset);
  $('dimensions').addEventListener('click', toggleDimensions);
  $('freeze').addEventListener('click', () => {
    held = !held;
    $('freeze').setAttribute('aria-pressed', String(held));
    if (held) scene?.hold();
    else scene?.unfold();
  });
  /** @type {HTMLSelectElement} */
  const edgesBy = $('edges-by');
  edgesBy.value = state.edgesBy;
  edgesBy.addEventListener('change', () => state.connectBy(edgesBy.value === 'count' ? 'count' : 'lift'));

  state.on(['graph', 'session'], relayout);
  state.on('running', () => {
    if (!state.running && state.following && !held && data.items.length) scene?.unfold();
  });
  state.on(['steps', 'cursor', 'hover', 'theme'], recolor);
  state.on('feature', () => {
    recolor();
    const item = state.feature && state.feature.sae === state.sae ? data.byFeature.get(state.feature.feature) : undefined;
    if (item && !item.hidden) scene?.flyTo(item, calm() ? 0 : 700);
  });
  state.on(['choice', 'theme'], () => {
    setText($('edges-meaning'), MEANING[state.edgesBy]);
    $('scale').style.background = gradient(theme());
  });
  state.on(['hello', 'session', 'running', 'choice'], drawEmpty);
  document.addEventListener('visibilitychange', () => scene?.pause(document.hidden));
  new ResizeObserver(resize).observe(place);
  openScene();

  return {
    fit,
    reset,
    toggleDimensions,
    /** For tests: what is drawn and where. */
    stats: () => ({ ...scene?.stats(), mode: place.dataset.mode, nodes: data.items.length, edges: data.ties.length }),
    nodes() {
      const corner = place.getBoundingClientRect();
      return data.items.filter((item) => !item.hidden).map((item) => {
        const { x = 0, y = 0, radius = 0 } = scene?.toScreen(item) ?? {};
        return { feature: item.feature, x: corner.left + x, y: corner.top + y, radius, place: [item.x, item.y, item.z] };
      });
    },
    settle: () => scene?.settle(data.items, data.ties),
  };
}
