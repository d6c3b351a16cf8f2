// @ts-check
// The records that travel between the program and the page, in the program's own words. Types only, no code.

/**
 * @typedef {"labelled" | "unlabelled" | "absent" | "pending" | "unavailable"} LabelState
 * @typedef {{kind: string, message: string, hint: string}} ErrorRecord
 * @typedef {{name: string, message: string, hint: string}} Problem
 *
 * What a feature is called. A label in any state but "labelled" is an automatic one, which describes nothing.
 * @typedef {{label: string | null, label_state: LabelState, label_origin: string | null}} Name
 * @typedef {{feature: number} & Name} Named
 *
 * @typedef {Named & {activation: number, effect: number | null}} ActiveFeature
 * @typedef {{l0: number, unexplained: number, features: ActiveFeature[]}} Reading  What one SAE says at one position.
 * @typedef {{token_id: number, text: string, logprob: number}} Alternative
 *
 * @typedef {{kind: "start", session: string, model: string, saes: string[], prompt: string,
 *   settings: Record<string, number>, device: string, dtype: string, notes?: string[],
 *   edits?: Edit[], provenance?: Record<string, any>, parent?: {session: string, position: number}, transient?: boolean}} Start
 * A feature that is steered: `value` is added to its activation, or is held; from position `start` on.
 * @typedef {{sae: string, feature: number, kind: "add" | "set" | "ablate", value: number, start: number}} Edit
 * @typedef {{kind: "step", position: number, is_prompt: boolean, is_bos?: boolean, token_id: number, piece: string,
 *   text: string, logprob: number | null, entropy: number, alternatives: Alternative[],
 *   saes: Record<string, Reading>, analyses?: Record<string, number | string>,
 *   next: {token_id: number, text: string} | null, ms: number}} Step
 * @typedef {{kind: "end", reason: string, prompt_tokens: number, new_tokens: number, ms_per_token: number | null,
 *   error?: ErrorRecord}} End
 * @typedef {Start | Step | End} Message
 *
 * @typedef {{kind: "engine", state: "empty" | "loading" | "ready" | "running" | "failed", stage: string,
 *   done: number | null, total: number | null, model: string | null, saes: string[], device: string | null,
 *   dtype: string | null, error: ErrorRecord | null}} Engine
 *
 * @typedef {((Start | Step | End) & {session: string} | Engine | {kind: "refused", session: string, error: ErrorRecord} |
 *   {kind: "installed", id: string} | Problem & {kind: "problem"} | {kind: "sessions_changed"} | {kind: "open_session", session: string} | NamesEvent |
 *   WhyEvent | Training & {kind: "training"} | {kind: "calibration"} | LabelSet & {kind: "label_set"}) & {seq: number}} Event
 *
 * Features have new names; null: any of this SAE may have.
 * @typedef {{kind: "labels", sae: string, labels: Record<string, Name> | null}} NamesEvent
 *
 * Of a model or an SAE, 0 and "" are what is not known before it is loaded.
 * @typedef {{id: string, name: string, family: string, weights: string, context: number, size_bytes: number,
 *   parameters: number, sae: string, hook: string, prepend_bos: boolean, licence: string, smaller: string,
 *   examples: string[], about: string, installed: boolean, saes: number}} Model
 * @typedef {{id: string, model: string, hook: string, width: number, weights: string, size_bytes: number,
 *   neuronpedia: string, refused: string, about: string, installed: boolean}} Sae
 * @typedef {Record<string, [low: number, high: number, whole: boolean]>} Ranges
 * @typedef {{about: string, high: number | null, unit: string}} AnalyserInfo
 * @typedef {{name: string, path: string, when: string, text: string}} CrashReport
 * @typedef {{version: string, offline: boolean, models: Model[], saes: Sae[], settings: Record<string, number>,
 *   defaults: Record<string, number>, analysers: Record<string, AnalyserInfo>, remembered: Record<string, unknown>,
 *   crash: CrashReport | null, open: string, first: boolean, formats: {name: string, about: string}[], ranges: Ranges, selected: {model: string | null, saes: string[]}, problems: Problem[],
 *   engine: Engine, live: string | null, last_event: number,
 *   store: {path: string, read_only: boolean, message: string | null},
 *   folders: {config: string, models: string, downloads: string}, training: Training | null}} Hello
 *
 * @typedef {{uid: string, title: string, prompt: string, output: string, model: string, saes: string[],
 *   created_at: string, status: "running" | "finished" | "interrupted", reason: string | null,
 *   prompt_tokens: number, new_tokens: number, ms_per_token: number | null,
 *   pinned: boolean, note: string, parent: string | null, bytes: number,
 *   steered: boolean}} SessionRow
 * @typedef {{session: string, title: string, activation: number, count: number, position: number, piece: string}} Firing
 * @typedef {{feature: number, where: "a" | "b" | "both", count_a: number, count_b: number, mean_a: number,
 *   mean_b: number, max_a: number, max_b: number, aligned: number, label: string | null,
 *   label_state: LabelState}} Compared
 * @typedef {{a: SessionRow, b: SessionRow, sae_a: string, sae_b: string, tokens_a: number, tokens_b: number,
 *   aligned: number, pairs: [number, number][], both: number, only_a: number, only_b: number,
 *   features_total: number, features: Compared[], edits_a: Edit[], edits_b: Edit[], predictions: Prediction[]}} Comparison
 *
 * `key`, which edges speak of, tells features of several SAEs apart: see graph/joined.js. `folded` are keys too.
 * @typedef {Named & {sae: string, key: number, first: number, last: number, count: number, max: number, always: boolean,
 *   folded: number[]}} GraphNode
 * A token that features were followed by; its key is below 0.
 * @typedef {{key: number, sae: string, token_id: number, text: string, first: number, last: number,
 *   count: number}} GraphToken
 * @typedef {{a: number, b: number, strength: number, count?: number, lift?: number, phi?: number, p?: number, q?: number,
 *   same_token?: boolean, cosine?: number, effect?: number}} GraphEdge
 * @typedef {{position: number, by: EdgesBy, meaning: string, chance: boolean, nodes: GraphNode[], tokens: GraphToken[],
 *   edges: GraphEdge[], nodes_total: number, edges_total: number, expected: number | null, level: number | null,
 *   positions: number, truncated: number, against: string, why: string}} Graph
 * @typedef {"association" | "co-activation" | "similarity" | "attribution"} EdgesBy
 *
 * Why a token: see the program's engine/why.py. `Without` is what the token loses, and what would be most probable then.
 * @typedef {{logit: number, probability: number, instead: Alternative & {probability: number}}} Without
 * @typedef {Named & {activation: number, direct: number | null, gradient: number, ablation: Without | null}} WhyFeature
 * @typedef {{hook: string, l0: number, unexplained: number, features: WhyFeature[],
 *   direct: {features: number, constant: number, unexplained: number, rest: number, bias: number, logit: number} | null,
 *   gradient: {features: number, constant: number, unexplained: number, whole: number},
 *   ablation: {top: Without, features: Without, unexplained: Without} | null}} WhySae
 * @typedef {{session: string, position: number, piece: string, token: {token_id: number, text: string}, followed: boolean,
 *   logit: number, logprob: number, rank: number, edits: Edit[], notes: string[], saes: Record<string, WhySae>}} Why
 * @typedef {{kind: "why", request: string, state: "running" | "done" | "failed", done?: number, total?: number,
 *   answer?: Why, error?: ErrorRecord}} WhyEvent
 *
 * What two sessions predict where their tokens are the same; `moved`: the probability that went elsewhere, at least.
 * @typedef {{position: number, piece: string, next_a: {text: string} | null, next_b: {text: string} | null, moved: number,
 *   tokens: {token_id: number, text: string, a: number | null, b: number | null}[]}} Prediction
 *
 * An SAE in training, and how good it came out on text that was kept apart.
 * @typedef {{sae: string, state: "loading" | "start" | "progress" | "measuring" | "stopped" | "end" | "failed", tokens?: number, of?: number,
 *   loss?: number, l0?: number, unexplained?: number, dead?: number, tokens_per_second?: number, seconds_left?: number,
 *   error?: ErrorRecord, quality?: {unexplained: number, l0: number, dead: number, recovered: number}}} Training
 * @typedef {{architectures: Record<string, string>, settings: Record<string, number | string>}} TrainingChoices
 *
 * What was measured of an SAE's features on texts, what goes on now, and what could be gone on with.
 * @typedef {{sae: string, origin: string | null, busy: boolean, kept: {tokens: number} | null,
 *   calibration: {tokens: number, corpus: string, pairs: number, pairs_by_chance: number, score: number | null,
 *     chance: number | null} | null,
 *   now: {state: string, tokens?: number, of?: number, tokens_per_second?: number | null,
 *     error?: ErrorRecord} | null}} Calibration
 *
 * All the labels of one SAE at one publisher. `set` is null where nobody publishes any.
 * @typedef {{state: "idle" | "listing" | "downloading" | "importing" | "done" | "failed" | "cancelled", done: number,
 *   total: number, error: ErrorRecord | null}} LabelDownload
 * @typedef {{sae: string, set: string | null, publisher: string | null, features: number, labelled: number,
 *   labels: number, own: number, automatic: number, complete: boolean, fetched_at: string | null,
 *   blocked: string | null, offline: boolean, fetch: boolean, download: LabelDownload}} LabelSet
 * @typedef {{files: number, bytes: number, new_files: number, new_bytes: number}} LabelOffer
 * @typedef {{sae: string, feature: number, label: string, origin: string, method: string, explainer: string}} Found
 *
 * @typedef {{text: string, origin: string, method: string, explainer: string, score: number | null,
 *   score_name: string, details: Record<string, unknown>}} Label
 * @typedef {[token: string, weight: number]} Weighed
 * @typedef {{tokens: string[], activations: number[]}} Context
 * @typedef {{origin?: string, density?: number | null, max_activation?: number | null, promoted?: Weighed[],
 *   suppressed?: Weighed[], promoted_origin?: string, contexts?: Context[]}} Details
 * @typedef {{feature: number, sae: string, label: Label | null, label_state: LabelState, labels: Label[],
 *   own: {label: string, note: string} | null, details: Details | null,
 *   details_state: "known" | "pending" | "unavailable" | "absent",
 *   statistics: {density?: number, max_activation?: number}, publisher: string | null, neuronpedia_url: string | null,
 *   hook: string | null, model: string | null, width: number | null}} FeatureRecord
 */

export {};
