"""AXON Shell: watch the concepts that fire inside a language model while it writes.

The names below are all that a plugin may use.
"""

from .config import Config
from .errors import AxonError, DownloadError, NotFound, PluginError, WeightsError
from .graph import Edge, Graph, Node, TokenNode, graph_of
from .hookspecs import Web, hookimpl
from .published import published_saes
from .records import (
    Analyser,
    Context,
    Exporter,
    FeatureFacts,
    HubFiles,
    Label,
    LabelFile,
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
    "Context",
    "DownloadError",
    "Edge",
    "Exporter",
    "FeatureFacts",
    "Graph",
    "HubFiles",
    "Label",
    "LabelFile",
    "Message",
    "ModelSpec",
    "Node",
    "NotFound",
    "PluginError",
    "PublishedSae",
    "SaeFiles",
    "SaeSpec",
    "TokenNode",
    "Web",
    "WeightsError",
    "__version__",
    "graph_of",
    "hookimpl",
    "hub_model",
    "published_saes",
]
