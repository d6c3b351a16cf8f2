// @ts-check
// How much of the graph is drawn, and how much there is of it.

import { $, el, setText } from '../dom.js';
import { counted } from '../words.js';

/** @import { State, View } from '../state.js' */

/** @typedef {"nodes" | "edgesPerNode" | "names"} Name */

/** @type {{name: Name, title: string, low: number, high: number, step: number}[]} */
const CONTROLS = [
  { name: 'nodes', title: 'Features at once', low: 25, high: 1000, step: 25 },
  { name: 'edgesPerNode', title: 'Edges for each feature', low: 0, high: 12, step: 1 },
  { name: 'names', title: 'Names beside the dots', low: 0, high: 40, step: 1 },
];

/** @param {State} state */
export function drawnPanel(state) {
  const popover = $('drawn-popover');
  const rows = CONTROLS.map(({ name, title, low, high, step }) => {
    const id = `drawn-${name}`;
    const slider = el('input', { type: 'range', id, min: String(low), max: String(high), step: String(step) });
    const output = el('output', { for: id });
    slider.addEventListener('input', () => state.look({ [name]: Number(slider.value) }));
    popover.append(el('div', { className: 'setting' }, el('label', { for: id }, title), slider, output));
    return { name, slider, output, low, high };
  });

  const always = el('input', { type: 'checkbox', id: 'drawn-always' });
  const aboutAlways = el('output', { for: 'drawn-always' });
  always.addEventListener('change', () => state.look({ alwaysEdges: always.checked }));
  const label = el('label', { for: 'drawn-always' }, always, 'Edges of features that always fire');
  popover.append(el('div', { className: 'setting' }, label, aboutAlways));

  state.on(['view', 'graph', 'session'], () => {
    const { graph, view } = state;
    /** @type {Record<Name, string>} */
    const says = {
      nodes: graph ? of(graph.nodes.length, graph.nodes_total, 'that fired so far are drawn') : '',
      edgesPerNode: graph ? of(graph.edges.length, graph.edges_total, 'between them are drawn') : '',
      names: 'the strongest at the cursor; those pinned come on top',
    };
    for (const { name, slider, output, low, high } of rows) {
      slider.value = String(view[name]);
      slider.style.setProperty('--share', String((view[name] - low) / (high - low)));
      setText(output, `${view[name]}${says[name] && ` · ${says[name]}`}`);
    }
    always.checked = view.alwaysEdges;
    const many = graph?.nodes.filter((node) => node.always).length ?? 0;
    setText(
      aboutAlways,
      many ? `${counted(many, 'dot')} drawn: such features meet all others` : graph ? 'there are none so far' : '',
    );
  });
}

/** @param {number} shown @param {number} total @param {string} what */
const of = (shown, total, what) => `${shown.toLocaleString('en')} of ${total.toLocaleString('en')} ${what}`;
