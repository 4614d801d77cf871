"""What can go wrong, as a tree. A message says what happened and what to do.

KimiError
├── InputError          the caller's input; nothing was computed
│   ├── AudioError      a sound that is empty, silent, too long or unreadable
│   └── PromptError     messages that form no prompt
├── CheckpointError     files that are missing, surplus, of the wrong shape or unknown
└── EngineError         the engine itself failed or is closed
    └── EngineBusy      too many requests at once; try again
"""

from __future__ import annotations


class KimiError(Exception):
    """Root of all errors that users may see."""


class InputError(KimiError):
    """The input cannot be used as it is."""


class AudioError(InputError):
    """A sound is empty, silent, too long or unreadable."""


class PromptError(InputError):
    """The messages do not form a prompt."""


class CheckpointError(KimiError):
    """A checkpoint is unknown, incomplete or not what its configuration says."""


class EngineError(KimiError):
    """The engine failed or was closed."""


class EngineBusy(EngineError):
    """All slots are taken; try again in a moment."""
