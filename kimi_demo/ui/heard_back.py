"""Speech that the model writes down itself, so that visitors see what it would understand."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Engine
from kimi_demo.engine.tasks.self_check import listening, spoken_form
from kimi_demo.errors import AudioError
from kimi_demo.events import Event, Transcript
from kimi_demo.text.comparing import Piece, compared


@dataclass(frozen=True)
class HeardBack:
    """What the model heard of its speech of one text.

    pieces: the words that were meant, and which of them were heard differently.
    """

    heard: str
    pieces: tuple[Piece, ...]


def listen_back(
    engine: Engine, said: Sequence[tuple[str, Audio]]
) -> Generator[Event | HeardBack, None, None]:
    """For each of these texts the events of its transcript, then HeardBack; closing this cancels
    what the engine is doing.
    """
    capabilities = engine.capabilities
    for text, sound in said:
        heard = ""
        try:
            intent = listening(sound, text, capabilities.tasks, capabilities.languages)
            with closing(engine.stream(intent)) as events:
                for event in events:
                    heard = event.text if isinstance(event, Transcript) else heard
                    yield event
        except AudioError:  # silence says nothing
            heard = ""
        yield HeardBack(heard, compared(spoken_form(text), spoken_form(heard)))
