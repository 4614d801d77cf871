"""An addition of all streams, for those who ask for it: what else happens while an answer is made.
One table, read in both directions.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from kimi_demo.errors import EngineError
from kimi_demo.events import (
    Checked,
    Event,
    Queued,
    SegmentStarted,
    SentenceStarted,
    StartedOver,
    Transcript,
)

KINDS: dict[str, type] = {
    "queued": Queued,
    "sentence_started": SentenceStarted,
    "checked": Checked,
    "segment_started": SegmentStarted,
    "started_over": StartedOver,
    "transcript": Transcript,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
ASKED = "An addition: also tell the place in line, the parts of the work and what is taken back."

AGAIN = (
    "An addition: false keeps the model from being asked once more where it only repeated itself; "
    "streams without `progress`, which take nothing back, never do that."
)


class Progress(BaseModel):
    """One event that is neither text nor sound."""

    type: Literal["progress"] = "progress"
    name: str = Field(description=f"One of {', '.join(KINDS)}.")
    values: dict[str, Any] = Field(description="What it says, by name; seconds end in _s.")


def progress_of(event: Event) -> Progress | None:
    """What is told of an event, if it is one of these."""
    name = _NAMES.get(type(event))
    if name is None:
        return None
    return Progress(type="progress", name=name, values=dataclasses.asdict(event))


def event_of(progress: Progress) -> Event:
    """The inverse. Raises: EngineError for what this code does not know."""
    try:
        read: TypeAdapter[Any] = TypeAdapter(KINDS[progress.name])
        return read.validate_python(progress.values)
    except (KeyError, ValidationError) as exc:
        raise EngineError("the server tells its progress in another form than this one") from exc
