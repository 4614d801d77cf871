"""What can go wrong, as a tree. A message says what happened and what to do.

KimiError
├── InputError          the caller's input; nothing was computed
│   ├── AudioError      a sound that is empty, silent, too long or unreadable
│   ├── PromptError     messages that form no prompt
│   ├── UnknownName     a model, a voice or an earlier answer that is not here
│   └── TooLarge        more bytes than are taken
├── AccessError         a key that is missing or wrong
├── CheckpointError     files that are missing, surplus, of the wrong shape or unknown
└── EngineError         the engine itself failed or is closed
    ├── EngineBusy      too many requests at once; try again
    └── EngineAway      it cannot be reached, or not from here
"""

from __future__ import annotations


class KimiError(Exception):
    """Root of all errors that users may see."""


class InputError(KimiError):
    """The input cannot be used as it is.

    param: which parameter is to blame, where it has a name. code: a name for the reason, where
    programs may want to tell it from others.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class AudioError(InputError):
    """A sound is empty, silent, too long or unreadable."""


class PromptError(InputError):
    """The messages do not form a prompt."""


class UnknownName(InputError):
    """A model, a voice or an earlier answer of this name is not here."""


class TooLarge(InputError):
    """More bytes than are taken."""


class AccessError(KimiError):
    """A key is missing or wrong."""


class CheckpointError(KimiError):
    """A checkpoint is unknown, incomplete or not what its configuration says."""


class EngineError(KimiError):
    """The engine failed or was closed."""


class EngineBusy(EngineError):
    """All slots are taken; try again in retry_after_s seconds."""

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineAway(EngineError):
    """The engine cannot be reached, or not from here."""
