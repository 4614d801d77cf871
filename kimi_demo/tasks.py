"""The task table: which words, output kind, limits and sampling each task uses.

The defaults are the published prompts; a checkpoint may bring its own table (tasks.json), for
example because it was trained on shorter ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kimi_demo.audio import Audio
from kimi_demo.choices import PUBLISHED, ChoiceTask
from kimi_demo.errors import CheckpointError
from kimi_demo.messages import OutputType, Sampling, StreamSampling, TextPart

ANY_LANGUAGE = ""

# How the evaluation kit of the release draws text, behind all published scores; the rest of its
# sampling is the default. Repeating itself is what this makes less likely.
EVALUATION_SAMPLING = Sampling(
    text=StreamSampling(repetition_penalty=1.1, repetition_window_tokens=16)
)


@dataclass(frozen=True)
class SpeechPrompt:
    """How a text is put that is to be read aloud: the words before and after it.

    asks_for_answer: the mark that asks for speech follows, as it follows a sound.
    """

    before: str
    after: str = ""
    asks_for_answer: bool = False

    def around(self, text: str) -> TextPart:
        return TextPart(self.before + text + self.after, self.asks_for_answer)


# The release has no prompt of its own for this; both are in public use. "say" drew speech of a
# poor kind from the model where the mark was missing.
PUBLISHED_SPEECH = {
    "read": SpeechPrompt(
        "Read the following text aloud exactly as written, without adding other words:\n"
    ),
    "say": SpeechPrompt('Please say the following in audio: "', '"', asks_for_answer=True),
}

# Wordings behind published scores, by test set.
PUBLISHED_WORDINGS = {
    "librispeech": "Please transcribe the spoken content into written text.",
    "aishell": "请把这段语音转录成文本。",  # AISHELL-1, AISHELL-2 and WenetSpeech
    "fleurs-zh": "请将这段语音转写成文字。",
    "fleurs-en": "Please transcribe this audio.",
}


@dataclass(frozen=True)
class TextLimit:
    """The most that is written about a sound: so many ids for each second of it, and some more."""

    ids_per_s: float
    extra_ids: int

    def of(self, sound: Audio) -> int:
        """Ids of text, at most."""
        return math.ceil(self.ids_per_s * sound.duration_s) + self.extra_ids


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

    speech_prompts: how a text is put that is to be read aloud, by name.
    speech_prompt: the one that is used, by its name; or words of its own that precede the text.
    transcription_prompts, caption_prompts: language code to instruction; "" serves any other.
    wordings: other instructions for transcription, by name, to repeat published measurements.
    translation_prompt: instruction to write down in English what is said in any language; empty if
    the checkpoint has not learned it.
    follows_instructions: whether words about how to speak or answer change anything.
    choices: closed questions by name: emotion, sound, scene ...
    text_normalizer: name in `kimi_demo.text.NORMALIZERS`, applied to what is to be spoken or
    answered.
    max_text_chars, max_audio_s: of one request; longer material is cut into several above.
    max_segment_s: longest piece of a recording that is transcribed at once, because the encoder
    hears that far or because the model learned from such lengths.
    memory: of a conversation.
    reply_outputs: how a question can be answered; a checkpoint that has only learned to speak its
    answers cannot be asked for text alone.
    transcript_limit, answer_limit: where writing about a sound ends. Nobody speaks more than 8 to
    10 ids a second, so a transcript that goes on has lost the sound; an answer to a question may
    be long whatever the sound is.
    evaluation_sampling: of published measurements, and of the second try where an answer about a
    sound went on and on.
    """

    speech_prompts: Mapping[str, SpeechPrompt] = field(
        default_factory=lambda: dict(PUBLISHED_SPEECH)
    )
    speech_prompt: str = "read"
    transcription_prompts: Mapping[str, str] = field(
        default_factory=lambda: {
            "zh": "请将音频内容转换为文字。",
            "en": "Please transcribe the following audio:",
            ANY_LANGUAGE: "Please transcribe the following audio:",
        }
    )
    wordings: Mapping[str, str] = field(default_factory=lambda: dict(PUBLISHED_WORDINGS))
    translation_prompt: str = "Please translate the speech in this audio into English text."
    follows_instructions: bool = True
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
    evaluation_sampling: Sampling = EVALUATION_SAMPLING
    transcript_limit: TextLimit = TextLimit(ids_per_s=10.0, extra_ids=32)
    answer_limit: TextLimit = TextLimit(ids_per_s=10.0, extra_ids=512)

    @classmethod
    def load(cls, path: Path) -> TaskTable:
        """Reads tasks.json; absent keys keep the published values.

        Raises: CheckpointError if the file says what no table has.
        """
        if not path.exists():
            return cls()
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            raise CheckpointError(f"{path.name} is broken: {exc}") from exc

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TaskTable:
        """The table with these values, as JSON knows them; absent ones are the published.

        Raises: ValueError for what no table has.
        """
        try:
            return cls(**{name: _READ.get(name, _as_is)(value) for name, value in values.items()})
        except (TypeError, AttributeError) as exc:
            raise ValueError(str(exc)) from exc

    def values(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def with_sampling(self, speech: Sampling) -> TaskTable:
        return dataclasses.replace(self, speech_sampling=speech)


def _as_is(value: Any) -> Any:
    return value


def _sampling(streams: Mapping[str, Any]) -> Sampling:
    return Sampling(**{name: StreamSampling(**values) for name, values in streams.items()})


def _named(kind: Callable[..., Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda values: {name: kind(**fields) for name, fields in values.items()}


# How the values of a file become those of a table, where they are not the same.
_READ: dict[str, Callable[[Any], Any]] = {
    "speech_prompts": _named(SpeechPrompt),
    "choices": _named(ChoiceTask),
    "memory": lambda values: Memory(**values),
    "reply_outputs": tuple,
    "speech_sampling": _sampling,
    "chat_sampling": _sampling,
    "listening_sampling": _sampling,
    "evaluation_sampling": _sampling,
    "transcript_limit": lambda values: TextLimit(**values),
    "answer_limit": lambda values: TextLimit(**values),
}
