// @ts-check
// Replays the session that lies in this page. Everything on screen is a function of the cursor and of a few choices.
// Text from the session only ever enters the page as text: nothing here parses HTML.

/**
 * @typedef {[feature: number, label: string | null, state: string, origin: string | null]} Name
 *   a label in any state but "labelled" was made automatically, and describes nothing
 *
 * @typedef {object} Sae
 * @property {string} id
 * @property {Name[]} names             the features that fired, by first firing; what others call "place" counts these
 * @property {(number | null)[]} l0           by position, as all that follows
 * @property {(number | null)[]} unexplained
 * @property {(number | null)[][]} fired      place, activation, effect on the next token; and so on
 * @property {number[]} nodes           place, x, y; and so on
 * @property {number[]} ties            node, node, times together, lift; and so on
 * @property {number} nodes_total
 * @property {number} ties_total
 * @property {number | null} by_chance  how many of those chance would give, at most
 *
 * @typedef {object} Data
 * @property {[string, string][]} facts
 * @property {string} title
 * @property {string} model
 * @property {string[]} notes
 * @property {{reason: string, error: {message: string, hint: string} | null} | null} end
 * @property {number} high              nats: tokens as surprising as this are colored in full
 * @property {number} first             the position of the first token
 * @property {string} kinds             b(eginning), p(rompt) or w(ritten), by position
 * @property {string[]} pieces
 * @property {(number | null)[]} surprise
 * @property {number[]} entropy
 * @property {number[]} next            the token that followed: its word, or -1
 * @property {number[]} taken           which of the alternatives that is, or -1
 * @property {number[][]} alternatives  word, log-probability; and so on
 * @property {Sae[]} saes
 * @property {string[]} words
 *
 * @typedef {{place: number, activation: number, effect: number | null}} Active
 * @typedef {"surprise" | "unexplained" | "feature"} Coloring
 * @typedef {[red: number, green: number, blue: number]} Rgb   each 0..255
 */

const FADE = 0.72; // what is left of an activation one token later
const TRAIL = 14; // tokens; 0.72 ** 14 = 1 %
const POOR = 0.5; // unexplained share: colored as strongly as it gets
const LABELS = 9; // in the graph
const LISTED = 300; // places where a feature fired
const PLAY = 'M8 5.500v13l10.500-6.500z';
const PAUSE = 'M8 6h2.800v12H8zm5.200 0H16v12h-2.800z';

/** @type {Record<"dark" | "light", Rgb[]>} */
const STOPS = {
  dark: ['#3a68b0', '#5c81b8', '#8b93a0', '#c2a565', '#ecc348', '#ffe97d'].map(hex),
  light: ['#a6bde0', '#8ba2c4', '#a09272', '#bd832c', '#b35f00', '#7d3500'].map(hex),
};

/** @type {Record<string, string>} */
const STATES = {
  unlabelled: 'no label',
  absent: 'not in the label set',
  pending: 'no label yet',
  unavailable: 'label not reachable',
};

/** @type {Record<string, string>} */
const REASONS = {
  max_tokens: 'finished: all tokens written',
  end_of_text: 'finished: the model ended the text',
  stopped: 'stopped',
  context_full: 'finished: the context is full',
  error: 'stopped by an error',
  interrupted: 'interrupted: the program ended while writing',
};

/** @type {Record<string, string>} */
const ORIGINS = { neuronpedia: 'Neuronpedia', you: 'whoever recorded this' };

/** @type {Data} */
const data = JSON.parse($('session').textContent);
const length = data.pieces.length;

// -- choices -----------------------------------------------------------------------------------------------------------

let t = Math.max(0, data.kinds.lastIndexOf('p')); // the cursor begins where the model began to write
let sae = 0;
let selected = -1; // a place
/** @type {Coloring} */
let coloring = 'surprise';
let timer = 0; // of the replay
let printing = false;

const lightScheme = matchMedia('(prefers-color-scheme: light)');
const theme = () => (printing || lightScheme.matches ? 'light' : 'dark');
const reading = () => /** @type {Sae | undefined} */ (data.saes[sae]);

// -- words and colors --------------------------------------------------------------------------------------------------

/** @param {string} id @returns {any} */
function $(id) {
  return document.getElementById(id);
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [props]   properties; data-*, aria-* and role as attributes
 * @param {...(Node | string)} children
 * @returns {any}
 */
function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (/^(data-|aria-|role$)/.test(name)) element.setAttribute(name, String(value));
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children);
  return element;
}

/** @param {string} tag @param {Record<string, string | number>} [attributes] @returns {any} */
function svg(tag, attributes = {}) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** What would be invisible or turn the text around it shows as �. @param {string} text */
function readable(text) {
  return text.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
}

/** A token with white space made visible; the space before a word stays. @param {string} text */
function visible(text) {
  if (/^ *$/.test(text)) return '␣'.repeat(text.length) || '∅';
  return readable(text).replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll('\r', '␍');
}

/** @param {string} text */
const quoted = (text) => `“${visible(text)}”`;

/** The beginning of a text, cut between characters. @param {string} text @param {number} longest */
function shortened(text, longest) {
  if (text.length <= longest) return text;
  const cut = text.slice(0, longest - 1);
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}

/** @param {number | null | undefined} value */
function number(value) {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** @param {number | null | undefined} share */
function percent(share) {
  if (share === null || share === undefined) return '–';
  const value = share * 100;
  if (value > 0 && value < 0.01) return '< 0.01 %';
  return `${value !== 0 && Math.abs(value) < 10 ? value.toFixed(value < 0.1 ? 2 : 1) : value.toFixed(0)} %`;
}

/** @param {number} count @param {string} one */
const counted = (count, one) => `${count.toLocaleString('en')} ${one}${count === 1 ? '' : 's'}`;

/** @param {Name} name */
const nameOf = ([feature, label, state]) =>
  label === null ? `feature ${feature} (${STATES[state] ?? STATES.unlabelled})` : readable(label);

/** @param {Name} name */
const isAutomatic = ([, label, state]) => label !== null && state !== 'labelled';

/** @param {Name} name */
const nameClass = (name) => (name[1] === null ? 'unlabelled' : isAutomatic(name) ? 'automatic' : '');

/** Who says so. @param {Name} name */
function originOf(name) {
  const [feature, label, state, origin] = name;
  if (label === null) return `feature ${feature}, ${STATES[state] ?? STATES.unlabelled}`;
  if (isAutomatic(name)) return `feature ${feature}, automatic, not a description`;
  return `feature ${feature}, label by ${readable(ORIGINS[origin ?? ''] ?? origin ?? 'unknown')}`;
}

/** @param {string} text @returns {Rgb} */
function hex(text) {
  const value = Number.parseInt(text.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The color of a share of the strongest. @param {number} share @param {number} [alpha] */
function color(share, alpha = 1) {
  const stops = STOPS[theme()];
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const left = Math.min(Math.floor(place), stops.length - 2);
  const [r, g, b] = stops[left].map((value, i) => Math.round(value + (stops[left + 1][i] - value) * (place - left)));
  return `rgb(${r} ${g} ${b} / ${alpha.toFixed(3)})`;
}

/** The ground behind a token. @param {HTMLElement} token @param {number} share */
function paint(token, share) {
  const strong = share > 0.5 && theme() === 'dark';
  token.style.backgroundColor = share > 0.02 ? color(share, strong ? 0.88 : 0.15 + 0.45 * share) : '';
  token.classList.toggle('strong', strong);
}

// -- what is in the data -----------------------------------------------------------------------------------------------

/** @param {Sae} of @param {number} at @returns {Active[]} */
function activeAt(of, at) {
  const flat = of.fired[at] ?? [];
  const found = [];
  for (let i = 0; i < flat.length; i += 3) {
    found.push({ place: Number(flat[i]), activation: Number(flat[i + 1]), effect: flat[i + 2] });
  }
  return found;
}

/**
 * How strongly each feature still shows at the cursor: its activation there, and the strongest faded one.
 * @param {Sae} of
 * @returns {Map<number, {now: number, trail: number}>}
 */
function glowAt(of) {
  const glow = new Map();
  for (let back = 0; back < TRAIL && t - back >= 0; back++) {
    for (const { place, activation } of activeAt(of, t - back)) {
      const entry = glow.get(place) ?? { now: 0, trail: 0 };
      if (back === 0) entry.now = activation;
      entry.trail = Math.max(entry.trail, activation * FADE ** back);
      glow.set(place, entry);
    }
  }
  return glow;
}

/** For each feature, where it fired and how strongly; for each SAE once. @type {Map<number, [number, number][][]>} */
const found = new Map();
function firings() {
  const known = found.get(sae);
  const of = reading();
  if (known || !of) return known ?? [];
  /** @type {[number, number][][]} */
  const places = of.names.map(() => []);
  for (let at = 0; at < length; at++) {
    for (const { place, activation } of activeAt(of, at)) places[place].push([at, activation]);
  }
  found.set(sae, places);
  return places;
}

// -- tokens ------------------------------------------------------------------------------------------------------------

/** @type {HTMLElement[]} */
const tokens = [];
let shadedTo = 0; // tokens from here on are marked as later than the cursor
let current = -1;

function makeTokens() {
  const strip = $('tokens');
  const all = document.createDocumentFragment();
  for (let i = 0; i < length; i++) {
    const [kind, piece] = [data.kinds[i], data.pieces[i]];
    const named = { b: 'bos', p: 'prompt', w: 'written' }[kind];
    const token = el(
      'span',
      { id: `token-${i}`, role: 'option', className: `token later ${named}`, 'aria-selected': 'false' },
      kind === 'b' ? 'start' : visible(piece),
    );
    token.dataset.position = String(i);
    const spoken =
      kind === 'b'
        ? 'start of the text (BOS)'
        : `${kind === 'p' ? 'prompt ' : ''}token ${data.first + i} ${quoted(piece)}`;
    token.setAttribute('aria-label', spoken);
    token.title = shortened(spoken, 300) + (kind === 'b' ? '' : `\nsurprise ${number(data.surprise[i])} nats`);
    if (kind !== 'b' && /^ [^ ]/.test(piece)) token.classList.add('space');
    tokens.push(token);
    all.append(token);
    if (kind !== 'b' && piece.includes('\n')) all.append(el('br'));
  }
  strip.append(all);
  strip.addEventListener('click', (/** @type {any} */ event) => {
    const token = event.target.closest('[data-position]');
    if (token) moveTo(Number(token.dataset.position));
  });
}

function colorTokens() {
  const of = reading();
  /** @type {number[]} */
  let shares = [];
  let said = '';
  let [low, high] = ['0', ''];
  if (coloring === 'surprise') {
    shares = data.surprise.map((value) => (value ?? 0) / data.high);
    high = `${data.high}+ nats`;
    said = 'surprise: how little the model expected the token, −log p';
  } else if (coloring === 'unexplained') {
    shares = (of?.unexplained ?? []).map((value) => (value ?? 0) / POOR);
    high = `${100 * POOR} %+`;
    said = 'share of the activity that the SAE does not explain';
  } else if (of && selected >= 0) {
    const fired = firings()[selected];
    const strongest = fired.reduce((most, [, activation]) => Math.max(most, activation), 0);
    for (const [at, activation] of fired) shares[at] = activation / strongest;
    high = number(strongest);
    said = `activation of feature ${of.names[selected][0]}`;
  } else {
    low = '';
    said = 'choose a feature to see where it fires';
  }
  tokens.forEach((token, i) => paint(token, data.kinds[i] === 'b' ? 0 : Math.min(1, shares[i] ?? 0)));
  setText($('colored'), said);
  setText($('scale-low'), low);
  setText($('scale-high'), high);
  $('scale').style.background = low ? `linear-gradient(90deg, ${[0, 0.2, 0.4, 0.6, 0.8, 1].map((x) => color(x))})` : '';
}

function markCursor() {
  const [low, high] = [Math.min(shadedTo, t + 1), Math.max(shadedTo, t + 1)];
  for (let i = low; i < high; i++) tokens[i]?.classList.toggle('later', i > t);
  shadedTo = t + 1;
  tokens[current]?.setAttribute('aria-selected', 'false');
  current = t;
  const token = tokens[t];
  if (!token) return;
  token.setAttribute('aria-selected', 'true');
  const strip = $('tokens');
  strip.setAttribute('aria-activedescendant', token.id);
  const [top, bottom] = [token.offsetTop - strip.offsetTop, token.offsetTop - strip.offsetTop + token.offsetHeight];
  if (top < strip.scrollTop + 4) strip.scrollTop = top - 8;
  else if (bottom > strip.scrollTop + strip.clientHeight - 4) strip.scrollTop = bottom - strip.clientHeight + 8;
}

// -- at the cursor -----------------------------------------------------------------------------------------------------

function showNow() {
  const of = reading();
  const bos = data.kinds[t] === 'b';
  const word = data.words[data.next[t]];
  const piece = data.pieces[t] ?? '';
  $('at').replaceChildren(
    'at ',
    bos || !length ? el('q', {}, 'start') : el('q', {}, shortened(visible(piece), 300)),
    ...(word === undefined ? [' → last token'] : [' → next ', el('q', {}, shortened(visible(word), 300))]),
  );

  $('measures').replaceChildren(
    ...(of
      ? [
          measure('L0', bos ? '–' : String(of.l0[t] ?? '–'), 'How many features are active at this token'),
          measure(
            'unexplained',
            bos ? '–' : percent(of.unexplained[t]),
            'Share of the model’s activity that the SAE does not reproduce',
          ),
        ]
      : []),
    measure('surprise', nats(data.surprise[t]), 'How little the model expected this token: −log p'),
    measure('entropy', nats(data.entropy[t]), 'How undecided the model was about the next token'),
  );
  showNext();
  showActive(of, bos);
}

/** @param {number | null | undefined} value */
const nats = (value) => (value === null || value === undefined ? '–' : `${number(value)} nats`);

/** @param {string} name @param {string} value @param {string} title */
const measure = (name, value, title) => el('div', { title }, el('dt', {}, name), el('dd', {}, value));

function showNext() {
  const flat = data.alternatives[t] ?? [];
  const choices = [];
  for (let i = 0; i < flat.length; i += 2) {
    choices.push({ word: data.words[flat[i]], share: Math.exp(flat[i + 1]), taken: i / 2 === data.taken[t] });
  }
  const after = data.surprise[t + 1];
  if (data.taken[t] < 0 && data.next[t] >= 0 && typeof after === 'number') {
    choices.push({ word: data.words[data.next[t]], share: Math.exp(-after), taken: true });
  }
  $('next').replaceChildren(
    ...choices.map(({ word, share, taken }) => {
      const [text, chance] = [el('bdi', {}, shortened(visible(word), 60)), el('small', {}, percent(share))];
      const item = el('li', { className: taken ? 'taken' : '' }, text, chance);
      if (taken) item.append(el('span', { className: 'visually-hidden' }, ' followed'));
      item.title = `${shortened(quoted(word), 300)} ${percent(share)}${taken ? ', the token that followed' : ''}`;
      return item;
    }),
  );
}

/** @type {ReturnType<typeof makeRow>[]} */
const rows = [];

function makeRow() {
  const name = el('span', { className: 'name' });
  const effect = el('small', { className: 'effect' });
  const activation = el('span', { className: 'activation' });
  const origin = el('small', { className: 'origin' });
  const bar = el('i');
  const button = el(
    'button',
    { type: 'button' },
    name,
    effect,
    activation,
    origin,
    el('span', { className: 'bar' }, bar),
  );
  return { item: el('li', {}, button), button, name, effect, activation, origin, bar };
}

/** @param {Sae | undefined} of @param {boolean} bos */
function showActive(of, bos) {
  const active = of && !bos ? activeAt(of, t) : [];
  const silent = !of
    ? 'No SAE read this session: there are no features.'
    : bos
      ? 'The start of the text (BOS) is left out: it is the same for every prompt.'
      : 'No feature fires at this token.';
  $('silent').hidden = active.length > 0;
  setText($('silent'), active.length ? '' : silent);
  const all = of?.l0[t] ?? 0;
  setText($('active-count'), active.length && all > active.length ? `the strongest ${active.length} of ${all}` : '');
  while (rows.length < active.length) {
    const row = makeRow();
    rows.push(row);
    $('active').append(row.item);
  }
  const strongest = active.reduce((most, one) => Math.max(most, one.activation), 0) || 1;
  rows.forEach((row, i) => {
    const one = active[i];
    row.item.hidden = !one;
    if (!one || !of) return;
    const name = of.names[one.place];
    row.button.dataset.place = String(one.place);
    row.button.className = nameClass(name);
    row.button.setAttribute('aria-pressed', String(one.place === selected));
    setText(row.name, nameOf(name));
    setText(row.origin, originOf(name));
    setText(row.activation, number(one.activation));
    const some = one.effect !== null && Math.abs(one.effect) >= 0.005;
    setText(row.effect, some ? `${Number(one.effect) > 0 ? '+' : '−'}${number(Math.abs(Number(one.effect)))}` : '');
    row.bar.style.width = `${(100 * one.activation) / strongest}%`;
    row.bar.style.background = color(one.activation / strongest);
    const effect = one.effect === null ? '' : `\ndirect effect on the next token’s logit ${number(one.effect)}`;
    row.button.title = `${shortened(nameOf(name), 300)}\n${originOf(name)}\nactivation ${number(one.activation)}${effect}`;
  });
}

// -- the selected feature ----------------------------------------------------------------------------------------------

function showFeature() {
  const of = reading();
  const shown = of !== undefined && selected >= 0;
  $('feature').hidden = !shown;
  document.body.classList.toggle('inspecting', shown);
  if (!of || !shown) return;
  const name = of.names[selected];
  $('feature-name').className = nameClass(name);
  setText($('feature-name'), nameOf(name));
  setText($('feature-origin'), `${originOf(name)} · ${readable(of.id)}`);

  const fired = firings()[selected];
  const strongest = fired.reduce((most, [, activation]) => Math.max(most, activation), 0) || 1;
  setText($('fired-count'), `${counted(fired.length, 'token')}, at most ${number(strongest)}`);
  const more = fired.length - LISTED;
  $('fired').replaceChildren(
    ...fired.slice(0, LISTED).map(([at, activation]) => el('li', {}, snippet(at, activation, strongest))),
    ...(more > 0
      ? [el('li', { className: 'hint' }, `and ${more.toLocaleString('en')} more; the colored tokens show all`)]
      : []),
  );
  markPlace();

  const partners = partnersOf(of);
  $('partners-heading').hidden = partners.length === 0;
  $('partners').replaceChildren(
    ...partners.map(({ place, count, lift }) => {
      const partner = of.names[place];
      const button = el(
        'button',
        { type: 'button', className: 'partner', title: `${shortened(nameOf(partner), 300)}\n${originOf(partner)}` },
        el('span', { className: `name ${nameClass(partner)}` }, nameOf(partner)),
        el('small', {}, `${count}, ×${number(lift)}`),
      );
      button.dataset.place = String(place);
      return el('li', {}, button);
    }),
  );
}

/** A place where the feature fired, in its text. @param {number} at @param {number} activation @param {number} strongest */
function snippet(at, activation, strongest) {
  const piece = (/** @type {number} */ i) => (data.kinds[i] === 'b' ? '' : shortened(visible(data.pieces[i]), 40));
  const mark = el('mark', {}, piece(at));
  paint(mark, activation / strongest);
  const before = [at - 3, at - 2, at - 1].filter((i) => i >= 0).map(piece);
  const after = [at + 1, at + 2, at + 3].filter((i) => i < length).map(piece);
  const text = el('span', {}, before.join(''), mark, after.join(''));
  const button = el('button', { type: 'button', className: 'snippet' }, text, el('small', {}, number(activation)));
  button.setAttribute(
    'aria-label',
    `token ${data.first + at} ${quoted(data.pieces[at])}, activation ${number(activation)}`,
  );
  button.dataset.position = String(at);
  return button;
}

function markPlace() {
  const marked = $('fired').querySelector('[aria-current]');
  if (marked?.dataset.position === String(t)) return;
  marked?.removeAttribute('aria-current');
  $('fired').querySelector(`[data-position="${t}"]`)?.setAttribute('aria-current', 'true');
}

/** @param {Sae} of */
function partnersOf({ nodes, ties }) {
  const partners = [];
  for (let i = 0; i < ties.length; i += 4) {
    const [a, b] = [nodes[3 * ties[i]], nodes[3 * ties[i + 1]]];
    if (a !== selected && b !== selected) continue;
    partners.push({ place: a === selected ? b : a, count: ties[i + 2], lift: ties[i + 3] });
  }
  return partners.sort((x, y) => y.lift - x.lift || y.count - x.count || x.place - y.place);
}

// -- graph -------------------------------------------------------------------------------------------------------------

/** @typedef {{place: number, u: number, v: number, x: number, y: number, first: number, share: number, now: number, hidden: boolean, dot: any}} Dot */
/** @typedef {{a: Dot, b: Dot, weight: number, line: any, look: string}} Line */

/** @type {Dot[]} */
let dots = [];
/** @type {Line[]} */
let lines = [];
let strongest = 1; // the activation that counts as full
let [wide, high] = [0, 0];

function makeGraph() {
  const of = reading();
  dots = [];
  lines = [];
  if (of) {
    const fired = firings();
    for (let i = 0; i < of.nodes.length; i += 3) {
      const [place, u, v] = of.nodes.slice(i, i + 3);
      const dot = svg('circle', { 'data-place': place });
      const title = svg('title');
      title.textContent = `${shortened(nameOf(of.names[place]), 300)}\n${originOf(of.names[place])}`;
      dot.append(title);
      const first = fired[place][0]?.[0] ?? Infinity;
      dots.push({ place, u, v, x: 0, y: 0, first, share: 0, now: 0, hidden: false, dot });
    }
    let often = 1;
    for (let i = 2; i < of.ties.length; i += 4) often = Math.max(often, of.ties[i]);
    for (let i = 0; i < of.ties.length; i += 4) {
      const weight = Math.log(1 + of.ties[i + 2]) / Math.log(1 + often);
      lines.push({ a: dots[of.ties[i]], b: dots[of.ties[i + 1]], weight, line: svg('line'), look: '' });
    }
    // One token with an enormous activation must not leave all others dark.
    const tops = of.fired
      .map((flat) => Number(flat[1] ?? 0))
      .filter((top) => top > 0)
      .sort((x, y) => x - y);
    strongest = tops[Math.floor(0.9 * (tops.length - 1))] || 1;
    const edges = counted(lines.length, 'line');
    const shown = `${dots.length.toLocaleString('en')}${of.nodes_total > dots.length ? ` of ${of.nodes_total.toLocaleString('en')}` : ''}`;
    const drawn = `${edges}${of.ties_total > lines.length ? ` of ${of.ties_total.toLocaleString('en')}` : ''}`;
    const most = of.ties_total ? `, of which chance would give at most about ${number(of.by_chance)}` : '';
    setText($('graph-count'), `${shown} features, ${drawn}${most}.`);
    $('graph').setAttribute('aria-label', `Graph of ${shown} features, ${drawn}; the lists beside it hold the same`);
  }
  $('dots').replaceChildren(...dots.map(({ dot }) => dot));
  $('lines').replaceChildren(...lines.map(({ line }) => line));
  placeGraph();
}

function placeGraph() {
  const box = $('graph').getBoundingClientRect();
  [wide, high] = [box.width, box.height];
  const room = { left: 28, right: 28, top: 26, bottom: 18 };
  for (const dot of dots) {
    dot.x = room.left + (dot.u / 1000) * Math.max(1, wide - room.left - room.right);
    dot.y = room.top + (dot.v / 720) * Math.max(1, high - room.top - room.bottom);
    dot.dot.setAttribute('cx', dot.x.toFixed(1));
    dot.dot.setAttribute('cy', dot.y.toFixed(1));
  }
  for (const { a, b, line } of lines) {
    for (const [name, value] of Object.entries({ x1: a.x, y1: a.y, x2: b.x, y2: b.y }))
      line.setAttribute(name, value.toFixed(1));
  }
}

function drawGraph() {
  const of = reading();
  if (!of) return;
  const glow = glowAt(of);
  const silent = theme() === 'dark' ? '#4a5568' : '#b4bcc8';
  const near = new Set();
  for (const { a, b } of lines) {
    if (a.place === selected) near.add(b);
    if (b.place === selected) near.add(a);
  }
  for (const dot of dots) {
    const { now, trail } = glow.get(dot.place) ?? { now: 0, trail: 0 };
    dot.now = now;
    dot.share = Math.min(1, trail / strongest);
    dot.hidden = dot.first > t;
    const chosen = dot.place === selected;
    const faint = selected >= 0 && !chosen && !near.has(dot) ? 0.45 : 1;
    const look = {
      r: dot.hidden ? '0' : (2.4 + 8 * Math.sqrt(dot.share)).toFixed(1),
      fill: dot.share > 0.02 ? color(dot.share ** 0.7) : silent,
      'fill-opacity': (faint * (now > 0 ? 1 : 0.5 + 0.4 * dot.share)).toFixed(2),
      class: chosen ? 'selected' : '',
    };
    for (const [name, value] of Object.entries(look))
      if (dot.dot.getAttribute(name) !== value) dot.dot.setAttribute(name, value);
  }
  for (const one of lines) {
    const { a, b, weight, line } = one;
    const chosen = selected >= 0 && (a.place === selected || b.place === selected);
    const hidden = a.hidden || b.hidden;
    const alpha = (0.1 + 0.22 * weight + 0.45 * Math.min(a.share, b.share)) * (selected >= 0 ? 0.35 : 1);
    const look = hidden ? '0' : `${(chosen ? 0.85 : alpha).toFixed(2)}${chosen ? ' lit' : ''}`;
    if (look === one.look) continue;
    one.look = look;
    line.setAttribute('stroke-opacity', look.split(' ')[0]);
    line.setAttribute('class', hidden || !chosen ? '' : 'lit');
  }
  nameDots(of, near);
}

/** Names the strongest at the cursor, where there is room. @param {Sae} of @param {Set<Dot>} near */
function nameDots(of, near) {
  const rank = (/** @type {Dot} */ dot) => (dot.place === selected ? 2 : near.has(dot) ? 1 : 0);
  const wanted = dots
    .filter((dot) => !dot.hidden && (rank(dot) > 0 || (near.size === 0 && dot.now > 0)))
    .sort((x, y) => rank(y) - rank(x) || y.now - x.now || y.share - x.share);
  /** @type {{x: number, y: number, w: number}[]} */
  const taken = [];
  const texts = [];
  for (const dot of wanted) {
    if (texts.length >= LABELS) break;
    const name = of.names[dot.place];
    const said = shortened(name[1] === null ? `feature ${name[0]}` : nameOf(name), 34);
    const w = 6.3 * said.length + 6;
    const away = 5 + 2.4 + 8 * Math.sqrt(dot.share);
    const x = dot.x + away + w < wide ? dot.x + away : Math.max(2, dot.x - away - w + 6);
    const y = dot.y + 4;
    if (taken.some((other) => Math.abs(other.y - y) < 15 && x < other.x + other.w && other.x < x + w)) continue;
    taken.push({ x, y, w });
    const text = svg('text', {
      x: x.toFixed(1),
      y: y.toFixed(1),
      class: `${nameClass(name)} ${dot.place === selected ? 'selected' : ''}`,
    });
    text.textContent = said;
    texts.push(text);
  }
  $('labels').replaceChildren(...texts);
}

$('graph').addEventListener('click', (/** @type {MouseEvent} */ event) => {
  const box = $('graph').getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let [best, least] = [-1, 16]; // pixels: a dot is small
  for (const dot of dots) {
    const far = Math.hypot(dot.x - x, dot.y - y);
    if (!dot.hidden && far < least) [best, least] = [dot.place, far];
  }
  select(best);
});

// -- moving and choosing -----------------------------------------------------------------------------------------------

/** @param {number} to */
function moveTo(to) {
  t = Math.min(Math.max(0, length - 1), Math.max(0, to));
  draw();
}

/** @param {number} place   -1: none */
function select(place) {
  selected = place;
  if (place >= 0) coloring = 'feature';
  else if (coloring === 'feature') coloring = 'surprise';
  $('coloring').value = coloring;
  colorTokens();
  showFeature();
  $('feature').scrollTop = 0;
  draw();
}

function draw() {
  markCursor();
  showNow();
  drawGraph();
  if (selected >= 0) markPlace();
  const scrubber = $('scrubber');
  scrubber.value = String(t);
  scrubber.style.setProperty('--share', String(length > 1 ? t / (length - 1) : 1));
  const spoken = tokens[t]?.getAttribute('aria-label') ?? 'no tokens';
  scrubber.setAttribute('aria-valuetext', shortened(spoken, 100));
  setText($('place'), length ? `${data.first + t} of ${data.first + length - 1}` : '');
  if (!timer) setText($('announce'), `${shortened(spoken, 100)}, ${$('at').textContent.split(' → ').at(-1)}`);
}

function drawAll() {
  colorTokens();
  makeGraph();
  showFeature();
  draw();
}

/** @param {boolean} on */
function play(on) {
  clearTimeout(timer);
  timer = 0;
  if (on) {
    if (t >= length - 1) moveTo(0);
    timer = window.setTimeout(tick, 1000 / Number($('speed').value));
  }
  setText($('play').lastElementChild, on ? 'Pause' : 'Play');
  $('play').title = on ? 'Pause (space)' : 'Play (space)';
  $('play-icon').setAttribute('d', on ? PAUSE : PLAY);
}

function tick() {
  moveTo(t + 1);
  play(t < length - 1);
}

/** @type {Record<string, () => void>} */
const keys = {
  ArrowLeft: () => step(t - 1),
  ArrowRight: () => step(t + 1),
  Home: () => step(0),
  End: () => step(length - 1),
  ' ': () => play(!timer),
  Escape: () => select(-1),
};

/** Moves by hand: the replay stands still from then on. @param {number} to */
function step(to) {
  play(false);
  moveTo(to);
}

document.addEventListener('keydown', (event) => {
  const on = /** @type {HTMLElement} */ (event.target);
  const act = keys[event.key];
  if (!act || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || on.matches?.('select')) return;
  if (event.key === ' ' && on.matches?.('button, summary')) return; // presses it
  event.preventDefault();
  act();
});

for (const [id, act] of Object.entries({
  home: keys.Home,
  back: keys.ArrowLeft,
  play: keys[' '],
  forward: keys.ArrowRight,
  last: keys.End,
  close: keys.Escape,
})) {
  $(id).addEventListener('click', act);
}
$('scrubber').addEventListener('input', () => step(Number($('scrubber').value)));
$('coloring').addEventListener('change', () => {
  coloring = $('coloring').value;
  colorTokens();
});
$('sae').addEventListener('change', () => {
  sae = Number($('sae').value);
  selected = -1;
  drawAll();
});
for (const list of ['active', 'partners']) {
  $(list).addEventListener('click', (/** @type {any} */ event) => {
    const button = event.target.closest('[data-place]');
    if (button) select(Number(button.dataset.place) === selected ? -1 : Number(button.dataset.place));
  });
}
$('fired').addEventListener('click', (/** @type {any} */ event) => {
  const button = event.target.closest('[data-position]');
  if (button) step(Number(button.dataset.position));
});
lightScheme.addEventListener('change', drawAll);
addEventListener('beforeprint', () => {
  printing = true;
  $('about').open = true;
  drawAll();
});
addEventListener('afterprint', () => {
  printing = false;
  drawAll();
});
new ResizeObserver(() => {
  placeGraph();
  drawGraph();
}).observe($('graph'));

// -- what stays --------------------------------------------------------------------------------------------------------

function showFacts() {
  setText($('title'), shortened(readable(data.title).replace(/\s+/g, ' '), 300) || 'A session');
  $('title').title = shortened(readable(data.title), 1000);
  const written = data.kinds.split('w').length - 1;
  const prompt = data.kinds.split('p').length - 1;
  setText(
    $('subtitle'),
    readable(
      [data.model, `${counted(prompt, 'prompt token')}, ${written.toLocaleString('en')} written`]
        .filter(Boolean)
        .join(' · '),
    ),
  );
  const { end } = data;
  setText($('ending'), end ? (REASONS[end.reason] ?? end.reason) : REASONS.interrupted);
  if (end?.error) {
    $('ending').className = 'error';
    setText($('ending'), readable(`${REASONS.error}: ${end.error.message} ${end.error.hint ?? ''}`));
  }
  $('sae').append(...data.saes.map(({ id }, i) => el('option', { value: String(i) }, shortened(readable(id), 80))));
  $('sae').disabled = data.saes.length < 2;
  $('sae-field').hidden = data.saes.length === 0;
  for (const option of $('coloring').options) option.disabled = !data.saes.length && option.value !== 'surprise';
  document.body.classList.toggle('no-sae', data.saes.length === 0);
  $('active-heading').hidden = data.saes.length === 0;
  $('notes').replaceChildren(...data.notes.map((note) => el('li', {}, readable(note))));
  $('facts').replaceChildren(
    ...data.facts.flatMap(([name, text]) => [el('dt', {}, name), el('dd', {}, readable(text))]),
  );
  setText($('made-with'), `made with ${data.facts.at(-1)?.[1] ?? 'AXON Shell'}`);
  $('scrubber').max = String(Math.max(0, length - 1));
}

makeTokens();
showFacts();
drawAll();
document.body.dataset.ready = '1';

export {}; // a module: its names are its own
