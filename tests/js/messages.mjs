// Small messages to test with.

export const SAE = 'tiny-world/2-res';

/** A step at a position; `fired` is {feature: activation}. */
export function step(position, fired = {}, { prompt = false, bos = false, logprob = -1 } = {}) {
  const features = Object.entries(fired)
    .map(([feature, activation]) => ({
      feature: Number(feature),
      activation,
      effect: null,
      label: `label ${feature}`,
      label_state: 'labelled',
    }))
    .sort((a, b) => b.activation - a.activation);
  return {
    kind: 'step',
    position,
    is_prompt: prompt,
    ...(bos && { is_bos: true }),
    token_id: position,
    piece: ` t${position}`,
    text: ` t${position}`,
    logprob,
    entropy: 1,
    alternatives: [],
    saes: { [SAE]: { l0: features.length, unexplained: 0.1, features } },
    next: null,
    ms: 10,
  };
}

export const start = {
  kind: 'start',
  session: 's1',
  model: 'tiny-world',
  saes: [SAE],
  prompt: 'x',
  settings: {},
  device: 'cpu',
  dtype: 'float32',
};
export const end = { kind: 'end', reason: 'max_tokens', prompt_tokens: 1, new_tokens: 2, ms_per_token: 8 };
