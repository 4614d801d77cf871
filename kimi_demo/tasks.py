"""The task table: which words, output kind and sampling each task uses, and how a request is built.

The defaults are the published prompts; a checkpoint may bring its own table (tasks.json), for
example because it was trained on shorter ones.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kimi_demo.audio import Audio, check_heard
from kimi_demo.choices import PUBLISHED, ChoiceTask
from kimi_demo.errors import InputError
from kimi_demo.messages import (
    AudioPart,
    Message,
    OutputType,
    Request,
    Sampling,
    StreamSampling,
    TextPart,
)
from kimi_demo.text import NORMALIZERS

ANY_LANGUAGE = ""


@dataclass(frozen=True)
class Memory:
    """What the model is told again with a new question: the newest whole turns, at most `turns`,
    as far as they and the question last no longer than `seconds`.

    Written words count a position a character, the most that any tokenizer needs. The published
    limit of question and answer together is 120 s; the other half is left for the answer.
    """

    turns: int = 8
    seconds: float = 60.0


@dataclass(frozen=True)
class TaskTable:
    """Prompts, limits and sampling of one checkpoint.

    speech_prompt: precedes the text that is to be read aloud.
    transcription_prompts, caption_prompts: language code to instruction; "" serves any other.
    choices: closed questions by name: emotion, sound, scene ...
    text_normalizer: name in `kimi_demo.text.NORMALIZERS`, applied to what is to be spoken or
    answered.
    max_text_chars, max_audio_s: of one request; longer material is cut into several above.
    max_segment_s: longest piece of a recording that is transcribed at once, because the encoder
    hears that far or because the model learned from such lengths.
    memory: of a conversation.
    reply_outputs: how a question can be answered; a checkpoint that has only learned to speak its
    answers cannot be asked for text alone.
    """

    speech_prompt: str = (
        "Read the following text aloud exactly as written, without adding other words:\n"
    )
    transcription_prompts: Mapping[str, str] = field(
        default_factory=lambda: {
            "zh": "请将音频内容转换为文字。",
            "en": "Please transcribe the following audio:",
            ANY_LANGUAGE: "Please transcribe the following audio:",
        }
    )
    caption_prompts: Mapping[str, str] = field(
        default_factory=lambda: {
            "zh": "请描述这段音频中的声音。",
            ANY_LANGUAGE: "Describe the sounds in this audio.",
        }
    )
    choices: Mapping[str, ChoiceTask] = field(default_factory=lambda: dict(PUBLISHED))
    text_normalizer: str = "none"
    max_text_chars: int = 600
    max_audio_s: float = 120.0
    max_segment_s: float = 30.0
    memory: Memory = Memory()
    reply_outputs: tuple[OutputType, ...] = ("both", "text")
    speech_sampling: Sampling = Sampling()
    chat_sampling: Sampling = Sampling()
    listening_sampling: Sampling = Sampling()

    @classmethod
    def load(cls, path: Path) -> TaskTable:
        """Reads tasks.json; absent keys keep the published values."""
        values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for name in ("speech_sampling", "chat_sampling", "listening_sampling"):
            if name in values:
                streams = values[name]
                values[name] = Sampling(**{k: StreamSampling(**v) for k, v in streams.items()})
        if "choices" in values:
            values["choices"] = {k: ChoiceTask(**v) for k, v in values["choices"].items()}
        if "memory" in values:
            values["memory"] = Memory(**values["memory"])
        if "reply_outputs" in values:
            values["reply_outputs"] = tuple(values["reply_outputs"])
        return cls(**values)

    def speech(self, text: str, sampling: Sampling | None = None, seed: int = 0) -> Request:
        """Text to speech.

        Raises: InputError if the text is empty, too long or has nothing that can be spoken.
        """
        message = Message("user", (TextPart(self.speech_prompt + self.readable(text)),))
        return Request((message,), "both", sampling or self.speech_sampling, seed)

    def chat(
        self,
        asked: str | Audio,
        history: Sequence[Message] = (),
        output: OutputType = "both",
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> Request:
        """The next turn of a conversation, typed or spoken.

        Raises: InputError or AudioError if there is nothing in it that can be answered, or not in
        this way.
        """
        if output not in self.reply_outputs:
            known = " or ".join(self.reply_outputs)
            raise InputError(f"this model has not learned such answers: output must be {known}")
        if isinstance(asked, Audio):
            part: TextPart | AudioPart = AudioPart(check_heard(asked, self.max_audio_s))
        else:
            part = TextPart(self.readable(asked))
        messages = (*history, Message("user", (part,)))
        return Request(messages, output, sampling or self.chat_sampling, seed)

    def transcription(self, audio: Audio, language: str = "", seed: int = 0) -> Request:
        """Speech to text. Raises: AudioError if the sound cannot be listened to."""
        return self._about(audio, _in(self.transcription_prompts, language), seed)

    def caption(self, audio: Audio, language: str = "", seed: int = 0) -> Request:
        """A sentence about the sound. Raises: AudioError if it cannot be listened to."""
        return self._about(audio, _in(self.caption_prompts, language), seed)

    def ask(self, audio: Audio, question: str, seed: int = 0) -> Request:
        """Any question about the sound. Raises: InputError, AudioError."""
        return self._about(audio, self.readable(question), seed)

    def choose(
        self, audio: Audio, task: str, options: Sequence[str] = (), question: str = ""
    ) -> Request:
        """A closed question: one of the table's, with its own options unless others are given.

        Raises: InputError for an unknown task or unusable options; AudioError.
        """
        if task not in self.choices:
            known = ", ".join(self.choices)
            raise InputError(f"there is no task {task!r}: choose one of {known}")
        choice = self.choices[task].with_own(question, options)
        request = self._about(audio, choice.prompt(), 0)
        return dataclasses.replace(request, options=choice.weighed())

    def _about(self, audio: Audio, prompt: str, seed: int) -> Request:
        heard = check_heard(audio, self.max_audio_s)
        message = Message("user", (TextPart(prompt), AudioPart(heard)))
        return Request((message,), "text", self.listening_sampling, seed)

    def readable(self, text: str) -> str:
        """The text as this checkpoint reads it.

        Raises: InputError if it is empty, too long or has no word that the model could know.
        """
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


def _in(prompts: Mapping[str, str], language: str) -> str:
    return prompts.get(language) or prompts[ANY_LANGUAGE]
