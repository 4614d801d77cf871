"""The live player: an HTML component that plays speech while it is generated.

Chunks of PCM16 travel as base64 in the value of the component, through the same Gradio event as
everything else: no extra route, no codec, no ffmpeg. The browser side is in `static/`.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr
import numpy as np

from kimi_demo.audio import to_int16
from kimi_demo.ui.scripts import script, static

SCRIPTS = ("words", "pcm", "outputs", "wave", "player")
SLICE_S = 0.25
# A value brings up to 1 s of new sound: little enough for a slow line, and few enough events that
# they cost the model no time.
FRESH_CHUNKS = 4
# A value that the browser skips is made up by the chunks that the next one repeats.
REPEATED_CHUNKS = 4


def live_player(name: str, sample_rate: int, words: Mapping[str, dict[str, str]]) -> gr.HTML:
    """A player that the page's scripts find as `window.kimiPlayers[name]`."""
    return gr.HTML(
        value="",
        html_template=static("player.html"),
        js_on_load=script(SCRIPTS, words, "player", WORKLET_SOURCE=static("worklet.js")),
        apply_default_css=False,
        elem_id=f"{name}-player",
        name=name,
        rate=sample_rate,
        caption="",
    )


def player_update(value: str | None, caption: str | None) -> gr.HTML | None:
    """New sound and all words so far, as far as either is new. Words travel on their own: a value
    is up to 128 kB."""
    new = {"value": value, "caption": caption}
    changes: dict[str, Any] = {name: text for name, text in new.items() if text is not None}
    return gr.HTML(**changes) if changes else None


def begin_js(name: str) -> str:
    """For `js=` of the event that starts a run: opens the loudspeaker within the gesture."""
    return f"(...inputs) => {{ window.kimiPlayers?.{name}?.begin(); return inputs; }}"


def stop_js(name: str) -> str:
    """For `js=` of the Stop event: silence at once, whatever the server still sends."""
    return f"(...inputs) => {{ window.kimiPlayers?.{name}?.stop(); return inputs; }}"


class PlayerFeed:
    """Writes the values of one run; the player tells runs apart by their id."""

    def __init__(self, run_id: str, sample_rate: int) -> None:
        self._run_id = run_id
        self._sample_rate = sample_rate
        self._chunks: deque[dict[str, object]] = deque(maxlen=FRESH_CHUNKS + REPEATED_CHUNKS)
        self._next_seq = 0

    def started(self) -> str:
        """Announces the run before its first sound."""
        return self._value()

    def sound(self, waveform: np.ndarray) -> Iterator[str]:
        """The values that carry (T,) float32 sound."""
        step = int(SLICE_S * self._sample_rate)
        slices = [waveform[start : start + step] for start in range(0, len(waveform), step)]
        for first in range(0, len(slices), FRESH_CHUNKS):
            for piece in slices[first : first + FRESH_CHUNKS]:
                self._append(piece)
            yield self._value()

    def ended(self) -> str:
        return self._value(end=True)

    def _append(self, piece: np.ndarray) -> None:
        pcm = base64.b64encode(to_int16(piece).tobytes()).decode()
        self._chunks.append({"seq": self._next_seq, "pcm": pcm})
        self._next_seq += 1

    def _value(self, end: bool = False) -> str:
        return json.dumps(
            {
                "run": self._run_id,
                "rate": self._sample_rate,
                "chunks": list(self._chunks),
                "end": end,
            }
        )
