"""The task table: which words, output kind and sampling each task uses, and how a request is built.

The defaults are the published prompts; a checkpoint may bring its own table (tasks.json), for
example because it was trained on shorter ones.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kimi_demo.audio import Audio, check_heard
from kimi_demo.errors import InputError
from kimi_demo.messages import (
    AudioPart,
    Message,
    Request,
    Sampling,
    StreamSampling,
    TextPart,
)
from kimi_demo.text import NORMALIZERS


@dataclass(frozen=True)
class TaskTable:
    """Prompts, limits and sampling of one checkpoint.

    speech_prompt: precedes the text that is to be read aloud.
    transcription_prompts: language code to instruction; "" serves any other language.
    text_normalizer: name in `kimi_demo.text.NORMALIZERS`, applied to what is to be spoken.
    """

    speech_prompt: str = (
        "Read the following text aloud exactly as written, without adding other words:\n"
    )
    transcription_prompts: Mapping[str, str] = field(
        default_factory=lambda: {
            "zh": "请将音频内容转换为文字。",
            "en": "Please transcribe the following audio:",
            "": "Please transcribe the following audio:",
        }
    )
    text_normalizer: str = "none"
    max_text_chars: int = 600
    max_audio_s: float = 120.0
    speech_sampling: Sampling = Sampling()
    listening_sampling: Sampling = Sampling()

    @classmethod
    def load(cls, path: Path) -> TaskTable:
        """Reads tasks.json; absent keys keep the published values."""
        values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for name in ("speech_sampling", "listening_sampling"):
            if name in values:
                streams = values[name]
                values[name] = Sampling(**{k: StreamSampling(**v) for k, v in streams.items()})
        return cls(**values)

    def speech(self, text: str, sampling: Sampling | None = None, seed: int = 0) -> Request:
        """Text to speech.

        Raises: InputError if the text is empty, too long or has nothing that can be spoken.
        """
        spoken = self._speakable(text)
        message = Message("user", (TextPart(self.speech_prompt + spoken),))
        return Request((message,), "both", sampling or self.speech_sampling, seed)

    def transcription(self, audio: Audio, language: str = "", seed: int = 0) -> Request:
        """Speech to text. Raises: AudioError if the sound cannot be listened to."""
        prompts = self.transcription_prompts
        prompt = prompts.get(language) or prompts[""]
        heard = check_heard(audio, self.max_audio_s)
        message = Message("user", (TextPart(prompt), AudioPart(heard)))
        return Request((message,), "text", self.listening_sampling, seed)

    def _speakable(self, text: str) -> str:
        if not text.strip():
            raise InputError("there is nothing to say yet: type a sentence first")
        if len(text) > self.max_text_chars:
            raise InputError(
                f"the text has {len(text)} characters and at most {self.max_text_chars} can be "
                "spoken at once: shorten it or send it in parts"
            )
        spoken = NORMALIZERS[self.text_normalizer](text)
        if not any(character.isalnum() for character in spoken):
            raise InputError(
                "nothing in this text can be spoken: use letters or numbers of a language that the "
                "model knows"
            )
        return spoken

    def with_sampling(self, speech: Sampling) -> TaskTable:
        """The same table with other sampling for speech."""
        return dataclasses.replace(self, speech_sampling=speech)
