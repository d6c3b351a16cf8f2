"""Import a library without what it needs for training, plotting and data sets only.

At the top of their files TransformerLens and SAELens import pandas, datasets, pyarrow, wandb and scipy, none of which
is touched when weights are loaded and read; sqlite-utils imports pandas, which making tables has no use for. Stand-ins
in their place make the first token come more than a second earlier and save 140 MB of memory. They are gone as soon as
the import is done: whoever imports one of these libraries later gets the real one.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

UNUSED = ("datasets", "pandas", "pyarrow", "scipy", "wandb")

ONE_AT_A_TIME = threading.RLock()  # every thread sees stand-ins: one importing the real thing would get a mixture


def import_lightly(*names: str) -> None:
    """Import modules with stand-ins for the libraries in UNUSED; for real where that does not work."""
    with ONE_AT_A_TIME:
        before = set(sys.modules)
        try:
            with stand_ins():
                for name in names:
                    importlib.import_module(name)
        except Exception:  # whatever a newer version of them may do with a library that it imports
            for module in set(sys.modules) - before:
                if module.split(".")[0] in names:
                    del sys.modules[module]
            for name in names:
                importlib.import_module(name)


@contextmanager
def stand_ins() -> Iterator[None]:
    """Have an import of a library in UNUSED give a stand-in, unless it is imported already or not installed."""
    finder = Finder(name for name in UNUSED if name not in sys.modules and find_spec(name))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, StandIn)]:
            del sys.modules[name]


class Finder(MetaPathFinder, Loader):
    """Finds stand-ins for some libraries and all that is in them."""

    def __init__(self, libraries: Iterator[str]) -> None:
        self.libraries = set(libraries)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in self.libraries else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class StandIn(ModuleType):
    """A module in which every name is a class that cannot be used."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(self: object, *args: object, **options: object) -> None:
            raise ImportError(f"{type(self).__module__}.{name} was left out when AXON Shell started its engine.")

        made = type(name, (), {"__module__": self.__name__, "__init__": refuse})
        setattr(self, name, made)
        return made
