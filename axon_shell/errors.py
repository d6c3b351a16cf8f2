"""Everything that can go wrong, as one tree.

AxonError
  x InvalidSetting      a value outside its range
  x ConfigError         config.toml cannot be used as it stands
  x PluginError         a plugin did not load or registered something unusable
  x PromptError         the prompt is empty or does not fit
  x Busy                a session is being generated already
  x NotFound            no such model, SAE, feature or session
  x WeightsError        files of a model or SAE are missing, damaged or do not fit
    x NotInstalled      ... as they must be downloaded first
  x DownloadError       a download failed
    x Gated             ... as the owner wants a licence accepted first
    x Offline           ... as the network must not be used
    x Unreachable       ... as a server cannot be reached
    x NoSpace           ... as the disk is too small
    x Throttled         ... as the server wants to be left alone for a while
    x Cancelled         ... as the user stopped it
  x EngineError         the computation failed (not a number)
    x OutOfMemory       ... as memory is too little
  x StoreError          a database cannot be read or written
  x LabelFileError      a file of labels is damaged or does not fit
  x CorpusError         there is no text to measure on, or not the same as before
  x SessionFileError    a file with a session is damaged or of a newer program
  x ExportError         a file cannot be written
  x ServerError         the loopback server cannot start
  x ShortcutError       the entry in the system's menu cannot be made or removed
  x AlreadyOpen         another shell is open with the same data and does not answer
  x Refused             the page asked for something it may not have
  x Fault               a mistake in AXON Shell itself

A message is one sentence of what happened; a hint says what to do next. Libraries' own exceptions are wrapped
where they arise (`raise WeightsError(...) from error`); only the bridge and the terminal turn errors into text.
"""

from __future__ import annotations

import logging


class AxonError(Exception):
    """Something a user can understand and act upon."""

    kind = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_record(self) -> dict[str, str]:
        """The error as the page, the terminal and `--json` show it: kind, message, hint."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint}


class InvalidSetting(AxonError):
    """A value outside its range."""

    kind = "invalid_setting"


class ConfigError(AxonError):
    """config.toml cannot be used as it stands."""

    kind = "config"


class PluginError(AxonError):
    """A plugin did not load or registered something unusable."""

    kind = "plugin"


class PromptError(AxonError):
    """The prompt is empty or does not fit into the model's context."""

    kind = "prompt"


class Busy(AxonError):
    """A session is being generated already."""

    kind = "busy"


class NotFound(AxonError):
    """No such model, SAE, feature or session."""

    kind = "not_found"


class WeightsError(AxonError):
    """Files of a model or SAE are missing, damaged or do not fit."""

    kind = "weights"


class NotInstalled(WeightsError):
    """Weights must be downloaded first."""

    kind = "not_installed"


class DownloadError(AxonError):
    """A download failed; what has arrived is kept and the next one goes on from there."""

    kind = "download"


class Gated(DownloadError):
    """The owner of a repository wants a licence accepted first."""

    kind = "gated"


class Offline(DownloadError):
    """The network must not be used."""

    kind = "offline"


class Unreachable(DownloadError):
    """A server cannot be reached."""

    kind = "network"


class Throttled(DownloadError):
    """The server wants to be left alone for a while."""

    kind = "throttled"


class NoSpace(DownloadError):
    """The disk has too little room."""

    kind = "disk"


class Cancelled(DownloadError):
    """The user stopped it."""

    kind = "cancelled"


class EngineError(AxonError):
    """The computation failed."""

    kind = "engine"


class OutOfMemory(EngineError):
    """Memory is too little."""

    kind = "memory"


class StoreError(AxonError):
    """A database cannot be read or written."""

    kind = "store"


class LabelFileError(AxonError):
    """A file of labels is damaged or does not fit."""

    kind = "label_file"


class CorpusError(AxonError):
    """There is no text to measure on, or it is not the same as before."""

    kind = "corpus"


class SessionFileError(AxonError):
    """A file with a session is damaged, or of a newer program."""

    kind = "session_file"


class ExportError(AxonError):
    """A file that a session should be written to cannot be written."""

    kind = "export"


class ServerError(AxonError):
    """The loopback server cannot start."""

    kind = "server"


class AlreadyOpen(AxonError):
    """Another shell is open with the same data and does not answer."""

    kind = "already_open"


class ShortcutError(AxonError):
    """The entry in the system's menu cannot be made or removed."""

    kind = "shortcut"


class Refused(AxonError):
    """The page asked for something it may not have."""

    kind = "refused"


class Fault(AxonError):
    """A mistake in AXON Shell itself."""

    kind = "fault"


def as_axon_error(error: Exception, doing: str) -> AxonError:
    """The error itself when a user can understand it, otherwise a Fault that names it; its traceback is logged."""
    if isinstance(error, AxonError):
        return error
    logging.getLogger(__name__).error("a fault while %s", doing, exc_info=error)
    return Fault(
        f"Something went wrong while {doing}: {type(error).__name__}: {error}",
        "This is a fault in AXON Shell; please report it with what you did.",
    )
