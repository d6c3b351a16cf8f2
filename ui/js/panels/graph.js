// @ts-check
// The graph of features that fired up to the cursor. Which nodes and edges: the program says. How they look at the
// cursor: computed here from the steps, so that scrubbing recolors at once. Where they are: the force layout of the
// scene, 3D or 2D, which share the same node objects.

import { $, calm, el, setText } from '../dom.js';
import { gradient } from '../color.js';
import { GraphData } from '../graph/data.js';
import { Labels } from '../graph/labels.js';
import { paint, withLabels } from '../graph/looks.js';
import { Scene2D } from '../graph/scene2d.js';
import { Scene3D } from '../graph/scene3d.js';
import { recall, remember } from '../remember.js';
import { strongestUpTo } from '../session.js';
import { theme } from '../theme.js';
import { glowAt } from '../trail.js';
import { counted, edgesFrom, edgesWords, featureName } from '../words.js';

/** @import { Item, Tie } from '../graph/data.js' */
/** @import { View } from '../graph/looks.js' */
/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

const MEANING = {
  association: 'Edges: fired together more than chance (lift); at most 5 % of those drawn are expected to be chance.',
  'co-activation': 'Edges: fired together at least once, raw count; most of it is chance.',
  similarity: 'Edges: written by the SAE in a similar direction (cosine); says nothing about when they fire.',
  attribution: 'Edges: from a feature to the next token, whose logit it raised or lowered (direct effect).',
};

/**
 * @param {State} state
 * @param {Actions} actions
 */
export function graphPanel(state, actions) {
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
    click: (/** @type {Item | null} */ item) => state.inspect(item && item.feature >= 0 ? item.feature : null),
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

  /** The picture as it stands, with the names beside the dots, as a data URL. */
  function picture() {
    const canvas = scene?.canvas();
    if (!canvas) return '';
    const { width, height } = place.getBoundingClientRect();
    const scale = canvas.width / width;
    const copy = el('canvas', { width: canvas.width, height: Math.round(height * scale) });
    const pen = /** @type {CanvasRenderingContext2D} */ (copy.getContext('2d'));
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    pen.fillRect(0, 0, copy.width, copy.height);
    pen.drawImage(canvas, 0, 0);
    pen.scale(scale, scale);
    labels.paint(pen);
    return copy.toDataURL('image/png');
  }

  $('picture').addEventListener('click', () => {
    const png = picture();
    if (png) void actions.savePicture(png);
  });
  state.on(['session', 'graph'], () => ($('picture').disabled = !state.session || !state.graph?.nodes.length));

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

  let shown = ''; // the session and SAE whose graph this is
  let laidOut = false;

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
    scene?.setData(data.items, data.ties, {
      settle: first && !state.following,
      held: held || (!state.following && !first),
    });
    laidOut = data.items.length > 0;
    describe();
  }

  /** @type {View} */
  let view;

  function recolor() {
    const { session, sae, t, feature, hover } = state;
    view = {
      t,
      glow: session ? glowAt(session.steps, sae, t) : new Map(),
      strongest: strongestUpTo(session, sae, t) || 1,
      selected: feature && feature.sae === sae ? feature.feature : null,
      hover,
      theme: theme(),
    };
    paint(data, view);
    scene?.repaint(view.theme);
    writeNames();
  }

  function writeNames() {
    labels.choose(withLabels(data, view), view.selected, view.hover);
    if (scene) labels.update(scene); // at once: the next frame may be a while away
  }

  function describe() {
    const active = data.items.filter((item) => !item.hidden && item.now > 0).sort((x, y) => y.now - x.now);
    const names = active.slice(0, 3).map((item) => featureName(item.feature, item.label, item.label_state));
    const size = `${counted(data.items.length, 'feature')} and ${counted(data.ties.length, 'edge')}`;
    const summary = `Graph of ${size}. Strongest at the cursor: ${names.join(', ') || 'none'}.`;
    place.setAttribute('aria-label', `${summary} The list of active features says the same.`);
    setText($('edges-chance'), edgesWords(state.graph));
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
  edgesBy.addEventListener('change', () => state.connectBy(edgesFrom(edgesBy.value)));
  $('chance').addEventListener('click', () => state.showChance(!state.chance));

  state.on(['graph', 'session'], relayout);
  state.on('running', () => {
    if (!state.running && state.following && !held && data.items.length) scene?.unfold();
  });
  state.on(['steps', 'cursor', 'hover', 'theme'], recolor);
  state.on('names', () => {
    data.rename(state.graph); // the dots stay as and where they are
    writeNames();
    describe();
  });
  state.on('feature', () => {
    recolor();
    const item =
      state.feature && state.feature.sae === state.sae ? data.byFeature.get(state.feature.feature) : undefined;
    if (item && !item.hidden) scene?.flyTo(item, calm() ? 0 : 700);
  });
  state.on(['choice', 'theme'], () => {
    setText($('edges-meaning'), MEANING[state.edgesBy]);
    const known = state.edgesBy === 'association' || state.edgesBy === 'co-activation';
    $('chance').disabled = !known;
    $('chance').setAttribute('aria-pressed', String(known && state.chance));
    $('scale').style.background = gradient(theme());
  });
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
      return data.items
        .filter((item) => !item.hidden)
        .map((item) => {
          const { x = 0, y = 0, radius = 0 } = scene?.toScreen(item) ?? {};
          return {
            feature: item.feature,
            x: corner.left + x,
            y: corner.top + y,
            radius,
            place: [item.x, item.y, item.z],
          };
        });
    },
    settle: () => scene?.settle(data.items, data.ties),
  };
}
