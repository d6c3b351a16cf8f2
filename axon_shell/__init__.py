"""AXON Shell: watch the concepts that fire inside a language model while it writes.

The names below are all that a plugin may use.
"""

from .config import Config
from .errors import AxonError, PluginError, WeightsError
from .hookspecs import hookimpl
from .records import Label, ModelSpec, SaeSpec

__version__ = "0.1.0"
__all__ = [
    "AxonError",
    "Config",
    "Label",
    "ModelSpec",
    "PluginError",
    "SaeSpec",
    "WeightsError",
    "__version__",
    "hookimpl",
]
