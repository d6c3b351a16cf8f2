// @ts-check
// The records that travel between the program and the page, in the program's own words. Types only, no code.

/**
 * @typedef {"labelled" | "unlabelled" | "absent" | "pending" | "unavailable"} LabelState
 * @typedef {{kind: string, message: string, hint: string}} ErrorRecord
 * @typedef {{name: string, message: string, hint: string}} Problem
 *
 * @typedef {{feature: number, activation: number, effect: number | null, label: string | null,
 *   label_state: LabelState}} ActiveFeature
 * @typedef {{l0: number, unexplained: number, features: ActiveFeature[]}} Reading  What one SAE says at one position.
 * @typedef {{token_id: number, text: string, logprob: number}} Alternative
 *
 * @typedef {{kind: "start", session: string, model: string, saes: string[], prompt: string,
 *   settings: Record<string, number>, device: string, dtype: string, notes?: string[]}} Start
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
 *   {kind: "installed", id: string} | Problem & {kind: "problem"} | {kind: "sessions_changed"}) & {seq: number}} Event
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
 *   crash: CrashReport | null, ranges: Ranges, selected: {model: string | null, saes: string[]}, problems: Problem[],
 *   engine: Engine, live: string | null, last_event: number,
 *   store: {path: string, read_only: boolean, message: string | null}}} Hello
 *
 * @typedef {{uid: string, title: string, prompt: string, output: string, model: string, saes: string[],
 *   created_at: string, status: "running" | "finished" | "interrupted", reason: string | null,
 *   prompt_tokens: number, new_tokens: number, ms_per_token: number | null}} SessionRow
 *
 * @typedef {{feature: number, label: string | null, label_state: LabelState, first: number, last: number,
 *   count: number, max: number}} GraphNode
 * @typedef {{a: number, b: number, count: number, lift: number}} GraphEdge
 * @typedef {{position: number, nodes: GraphNode[], edges: GraphEdge[], nodes_total: number,
 *   edges_total: number}} Graph
 * @typedef {"lift" | "count"} EdgesBy
 *
 * @typedef {{feature: number, sae: string, label: {text: string, origin: string, method: string,
 *   score: number | null, score_name: string, details: Record<string, unknown>} | null, label_state: LabelState,
 *   statistics: {density?: number, max_activation?: number}, neuronpedia_url: string | null, hook: string | null,
 *   model: string | null, width: number | null}} FeatureRecord
 */

export {};
