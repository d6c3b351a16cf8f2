// @ts-check
// The graph of features that fired up to the cursor. Which nodes and edges: the program says. How they look at the
// cursor: computed here from the steps, so that scrubbing recolors at once. Where they are: the force layout of the
// scene, 3D or 2D, which share the same node objects.

import { $, calm, el, setText } from '../dom.js';
import { css, gradient, layerColor } from '../color.js';
import { GraphData } from '../graph/data.js';
import { Labels } from '../graph/labels.js';
import { keyOf } from '../graph/joined.js';
import { paint, withLabels } from '../graph/looks.js';
import { Scene2D } from '../graph/scene2d.js';
import { Scene3D } from '../graph/scene3d.js';
import { recall, remember } from '../remember.js';
import { isTransient, strongestUpTo } from '../session.js';
import { theme } from '../theme.js';
import { glowAt } from '../trail.js';
import { NOT_STORED, counted, edgesFrom, edgesWords, featureName } from '../words.js';

/** @import { Item, Tie } from '../graph/data.js' */
/** @import { View } from '../graph/looks.js' */
/** @import { Actions } from '../actions.js' */
/** @import { State } from '../state.js' */

const APART = 120; // two layers, in the units of the layout

const DOTS = {
  one: 'Dots: features that fired so far. Color and size: activation at the cursor, fading over later tokens.',
  several:
    'Dots: features that fired so far, the model’s first layer below. Brightness and size: activation at the cursor, ' +
    'against the strongest of the same SAE. Edges join features of one SAE.',
};

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
    click: (/** @type {Item | null} */ item) => {
      if (!item || item.key >= 0) state.inspect(item ? item.feature : null, item?.sae); // a token has nothing to inspect
    },
    hover: (/** @type {Item | null} */ item) => state.point(item ? item.feature : null, item?.sae),
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
    scene?.follow();
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

  function save() {
    const png = picture();
    if (png) void actions.savePicture(png);
  }
  $('picture').addEventListener('click', save);
  const { title } = $('picture');
  state.on(['session', 'graph'], () => {
    const transient = isTransient(state.session);
    $('picture').disabled = !state.session || !state.graph?.nodes.length || transient;
    $('picture').title = transient ? NOT_STORED : title;
  });

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
  let laidBy = state.edgesBy; // the kind of edges that the layout is of

  function relayout() {
    const sources = state.shown.join(' ');
    const typed = `typed ${sources}`; // one graph, whatever becomes of the text
    const of = isTransient(state.session) ? typed : state.session ? `${state.session.uid} ${sources}` : '';
    const goesOn = shown === typed && state.session !== null && state.following; // what was typed is run
    const fresh = of !== shown && !goesOn;
    shown = of;
    if (fresh) {
      data.clear();
      scene?.follow();
    }
    if (fresh || state.graph) data.take(state.graph, levels());
    recolor();
    const first = fresh || !laidOut || (state.graph !== null && laidBy !== state.graph.by);
    if (state.graph) laidBy = state.graph.by;
    // While the user scrubs, dots stay where they are; what comes as a whole is laid out at once.
    scene?.setData(data.items, data.ties, {
      settle: first && (!(state.following && state.running) || isTransient(state.session)),
      held: held || (!state.following && !first),
    });
    laidOut = data.items.length > 0;
    describe();
  }

  /** @type {View} */
  let view;

  function recolor() {
    const { session, t, feature, hover, shown } = state;
    const keys = (/** @type {import('../marks.js').Mark} */ mark) =>
      new Set(state.marks.of(mark, shown).map((id) => keyOf(shown, id.sae, id.feature)));
    /** @type {View['shine']} */
    const shine = new Map();
    for (const sae of session ? shown : []) {
      const strongest = strongestUpTo(session, sae, t) || 1;
      for (const [of, { now, trail }] of glowAt(session?.steps ?? [], sae, t)) {
        shine.set(keyOf(shown, sae, of), { now, share: Math.min(1, trail / strongest) });
      }
    }
    view = {
      t,
      shine,
      selected: feature && shown.includes(feature.sae) ? keyOf(shown, feature.sae, feature.feature) : null,
      hover: hover && shown.includes(hover.sae) ? keyOf(shown, hover.sae, hover.feature) : null,
      pinned: keys('pinned'),
      muted: keys('muted'),
      names: state.view.names,
      layers: shown,
      theme: theme(),
    };
    paint(data, view);
    scene?.repaint(view.theme);
    writeNames();
  }

  /** Several SAEs lie above one another, in the order of the model, the first at the bottom. */
  function levels() {
    const { shown } = state;
    return new Map(shown.map((sae, i) => [sae, (i - (shown.length - 1) / 2) * APART]));
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

  /** Of several SAEs: which hue is which. */
  function describeLayers() {
    const { shown } = state;
    const several = shown.length > 1;
    const layers = $('layers');
    layers.hidden = !several;
    $('scale-row').hidden = several;
    setText($('dots-meaning'), several ? DOTS.several : DOTS.one);
    layers.replaceChildren(
      ...(several ? [...shown].reverse() : []).map((id) => {
        const background = css(layerColor(shown.indexOf(id), theme()));
        return el(
          'li',
          { title: id },
          el('i', { className: 'swatch', style: `background:${background}` }),
          state.saeName(id),
        );
      }),
    );
  }

  // -- wiring ------------------------------------------------------------------------------------------------------------

  const fit = () => scene?.fit(calm() ? 0 : 500);
  const reset = () => scene?.reset(calm() ? 0 : 500);
  $('fit').addEventListener('click', fit);
  $('reset').addEventListener('click', reset);
  $('dimensions').addEventListener('click', toggleDimensions);
  function hold() {
    held = !held;
    $('freeze').setAttribute('aria-pressed', String(held));
    if (held) scene?.hold();
    else scene?.unfold();
  }
  $('freeze').addEventListener('click', hold);
  /** @type {HTMLSelectElement} */
  const edgesBy = $('edges-by');
  edgesBy.value = state.edgesBy;
  edgesBy.addEventListener('change', () => state.connectBy(edgesFrom(edgesBy.value)));
  $('chance').addEventListener('click', () => state.showChance(!state.chance));

  state.on(['graph', 'session'], relayout);
  state.on('running', () => {
    if (!state.running && state.following && !held && data.items.length) scene?.unfold();
  });
  state.on(['steps', 'cursor', 'hover', 'marks', 'view', 'theme'], recolor);
  state.on('names', () => {
    data.rename(state.graph); // the dots stay as and where they are
    writeNames();
    describe();
  });
  state.on('feature', () => {
    recolor();
    const item = view.selected === null ? undefined : data.byKey.get(view.selected);
    if (item && !item.hidden) scene?.flyTo(item, calm() ? 0 : 700);
  });
  state.on(['choice', 'session', 'theme', 'hello'], () => {
    setText($('edges-meaning'), MEANING[state.edgesBy]);
    const known = state.edgesBy === 'association' || state.edgesBy === 'co-activation';
    $('chance').disabled = !known;
    $('chance').setAttribute('aria-pressed', String(known && state.chance));
    $('scale').style.background = gradient(theme());
    describeLayers();
  });
  document.addEventListener('visibilitychange', () => scene?.pause(document.hidden));
  new ResizeObserver(resize).observe(place);
  openScene();

  return {
    fit,
    reset,
    hold,
    save,
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
            sae: item.sae,
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
