// @ts-check
// Wires the page: the only file that knows all panels.
//
// Ids that tests and scripts may rely on:
//   #prompt #run #stop #settings #model #saes #theme #help            top bar
//   #typing                                                           in the settings: read as I type
//   #problems-count                                                   how many problems, in the top bar
//   #failure #disconnected #problems #crash #fault                    notices under it
//   #sessions [data-session] [data-menu] #sessions-search             past sessions
//   #sessions-pinned #import #session-menu [data-do] [data-form]      what can be done with them
//   #session-dialog #compare-dialog #said #undo #branch #parent
//   #graph #sae #edges-by #fit #reset #freeze #dimensions             graph; #graph[data-mode] is "3d" or "2d"
//   #empty #loading                                                   its overlays
//   #first-look #play-again #close-first-look [data-example]          what the very first start shows
//   #at #measures #threshold #active [data-feature]                   active features at the cursor
//   #feature[data-feature]                                            feature inspector, and in it
//   #edit-label #own-label #own-note #save-label #remove-label #cancel-label #retry-labels
//   #labels                                                           labels of the SAE on screen, and in its popover
//   #label-set #get-labels #download-labels #cancel-labels            what is here, and getting all of them
//   #labels-search #labels-where #labels-found [data-feature]         search
//   #tokens [data-position] #scrubber #play #follow #color-by         token strip
//   #heat .heat-row #token-card #expected #filter #sort-by #hide-always #left-out
//   #why #why-dialog #why-token #why-by [data-token]                  why this token
//   #steer-part #steer #steering .edit #steer-this #steer-none        steering
//   #train-sae #training-dialog #train-go #train-stop #train-use      an SAE of one's own
//   #palette #palette-search #palette-list [data-entry]               command palette (Ctrl+K)
//   #preferences #theme-choice #motion-choice #drawn #drawn-popover   preferences, and how much of the graph is drawn
//   #status [data-status]                                             status bar
// document.body.dataset.ready is "1" once the program has said hello and the first picture is painted.
// With ?test=1 in the address, window.__app holds {state, actions, graph}:
//   graph.stats()   {mode, nodes, edges, calls (draw calls of the last frame), geometries, moving}
//   graph.nodes()   [{feature, x, y (on the page, in pixels), radius, place: [x, y, z]}], those visible at the cursor
//   graph.settle()  a promise: laid out from scratch, all in view, nothing moving

import { asRecord, createActions } from './actions.js';
import { connect } from './bridge.js';
import { commandsOf } from './commands.js';
import { startKeys, startPanes, togglePane } from './keys.js';
import { activePanel } from './panels/active.js';
import { coloringPanel } from './panels/coloring.js';
import { drawnPanel } from './panels/drawn.js';
import { emptyPanel } from './panels/empty.js';
import { featurePanel } from './panels/feature.js';
import { firstLookPanel } from './panels/first-look.js';
import { graphPanel } from './panels/graph.js';
import { heatPanel } from './panels/heat.js';
import { helpDialog } from './panels/help.js';
import { labelsPanel } from './panels/labels.js';
import { loadingPanel } from './panels/loading.js';
import { noticesPanel } from './panels/notices.js';
import { palette } from './panels/palette.js';
import { pickerPanel } from './panels/picker.js';
import { preferencesDialog } from './panels/preferences.js';
import { promptPanel } from './panels/prompt.js';
import { branchPanel } from './panels/branch.js';
import { saidPanel } from './panels/said.js';
import { sessionsPanel } from './panels/sessions.js';
import { settingsPanel } from './panels/settings.js';
import { statusPanel } from './panels/status.js';
import { steeringPanel } from './panels/steering.js';
import { tokenCard } from './panels/token-card.js';
import { tokenNowPanel } from './panels/token-now.js';
import { tokensPanel } from './panels/tokens.js';
import { typingPanel, typingSwitch } from './panels/typing.js';
import { transportPanel } from './panels/transport.js';
import { trainingDialog } from './panels/training.js';
import { whyDialog } from './panels/why.js';
import { startFaults } from './panels/faults.js';
import { startRemembering } from './remember.js';
import { State } from './state.js';
import { guessTheme, startTheme } from './theme.js';

guessTheme();
const bridge = await connect();
const first = /** @type {Hello | null} */ (await bridge.call('hello').catch(() => null));
startRemembering(
  first?.remembered ?? {},
  (name, value) => void bridge.call('remember', { name, value }).catch(() => {}),
);

const state = new State();
const themes = startTheme(state);
startPanes();
const actions = createActions(state, bridge);
startFaults(actions);
noticesPanel(state, actions);
const settings = settingsPanel(state, actions);
const prompt = promptPanel(state, actions, settings);
typingPanel(state, actions);
pickerPanel(state, actions);
const sessions = sessionsPanel(state, actions);
saidPanel(state);
branchPanel(state, prompt);
const graph = graphPanel(state, actions);
emptyPanel(state, prompt.runExample);
firstLookPanel(state, prompt.runExample);
loadingPanel(state, actions);
drawnPanel(state);
const why = whyDialog(state, actions);
const training = trainingDialog(state, actions);
tokenNowPanel(state, why);
steeringPanel(state, actions, sessions.comparison);
const active = activePanel(state);
featurePanel(state, actions);
const labels = labelsPanel(state, actions);
heatPanel(state);
tokensPanel(state);
tokenCard(state);
coloringPanel(state);
transportPanel(state);
statusPanel(state);
state.emit('choice', 'cursor', 'theme'); // what can be drawn before the program has answered
const preferences = preferencesDialog(state, themes, typingSwitch(state));
const doable = () => commands.filter((command) => command.only !== 'key' && (command.can?.() ?? true));
const commands = commandsOf(state, actions, {
  ...{ prompt, graph, active, labels, preferences, why, training, togglePane },
  setTheme: themes.set,
  help: helpDialog(() => commands),
  palette: palette(state, actions, doable, sessions),
});
startKeys(state, actions, commands);

if (new URLSearchParams(location.search).has('test')) Object.assign(window, { __app: { state, actions, graph } });

/** @import { Hello } from './types.js' */

/** Begins, again and again until the program answers. Returns the last event known then. */
async function beginning() {
  let hello = first;
  for (;;) {
    try {
      return await actions.begin(hello);
    } catch (error) {
      hello = null;
      state.connection = 'disconnected';
      state.connectionError = asRecord(error);
      state.emit('connection');
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

const lastEvent = await beginning();
requestAnimationFrame(() => {
  requestAnimationFrame(() => {
    document.body.dataset.ready = '1';
    void actions.listen(lastEvent);
    void actions.load(); // only now: the window must not wait for PyTorch
  });
});
