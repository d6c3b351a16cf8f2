"""The only package that imports torch: load a model and SAEs, run one pass per position, yield one Step each."""

import os

# The libraries draw progress bars on stderr while they load files from disk; what loads is told by our own reports.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
