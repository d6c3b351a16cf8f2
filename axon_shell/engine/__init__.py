"""The only package that imports torch: load a model and SAEs, run one pass per position, yield one Step each."""

import os

from .. import hub  # notes what the user set before it is overruled here
from ..light import import_lightly

# The libraries draw progress bars on stderr while they load files from disk; what loads is told by our own reports.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# They load from the cache; downloading is `hub.fetch`'s alone, in a process of its own.
os.environ[hub.OFFLINE] = "1"

import_lightly("transformer_lens", "sae_lens")

from transformers.utils.logging import disable_progress_bar  # noqa: E402  (it reads the variables above)

disable_progress_bar()  # ... which it has not seen if a plugin imported it before
