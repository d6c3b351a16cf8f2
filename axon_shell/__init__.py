"""AXON Shell: watch the concepts that fire inside a language model while it writes.

The names below are all that a plugin may use.
"""

from .config import Config
from .errors import AxonError, PluginError, WeightsError
from .hookspecs import hookimpl
from .published import published_saes
from .records import (
    Analyser,
    Exporter,
    HubFiles,
    Label,
    Message,
    ModelSpec,
    PublishedSae,
    SaeFiles,
    SaeSpec,
    hub_model,
)

__version__ = "0.1.0"
__all__ = [
    "Analyser",
    "AxonError",
    "Config",
    "Exporter",
    "HubFiles",
    "Label",
    "Message",
    "ModelSpec",
    "PluginError",
    "PublishedSae",
    "SaeFiles",
    "SaeSpec",
    "WeightsError",
    "__version__",
    "hookimpl",
    "hub_model",
    "published_saes",
]
