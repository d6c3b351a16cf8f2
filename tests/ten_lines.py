"""What a session must show, by TransformerLens and SAELens alone: MODEL RELEASE SAE PROMPT IDS on the command line."""

import json
import sys

import torch
from sae_lens import SAE
from transformer_lens import HookedTransformer

name, release, sae_id, prompt, ids = sys.argv[1:]
sae = SAE.from_pretrained(release, sae_id)
about = sae.cfg.metadata
model = HookedTransformer.from_pretrained_no_processing(
    name, **(about.model_from_pretrained_kwargs or {}), device="cpu"
)
with torch.no_grad():
    logits, cache = model.run_with_cache(torch.tensor([json.loads(ids)]), names_filter=about.hook_name)
    x = cache[about.hook_name][0]
    activations = sae.encode(x)
    error = x - sae.decode(sae.encode(x))
strongest, best = activations.topk(10), logits[0].log_softmax(-1).topk(10)
answer = {
    "prompt": model.to_tokens(prompt, prepend_bos=about.prepend_bos)[0].tolist(),
    "features": strongest.indices.tolist(),
    "activations": strongest.values.tolist(),
    "l0": (activations > 0).sum(-1).tolist(),
    "unexplained": (error.square().sum(-1) / (x - x.mean(-1, keepdim=True)).square().sum(-1)).tolist(),
    "alternatives": best.indices.tolist(),
    "logprobs": best.values.tolist(),
}
print(json.dumps(answer))
