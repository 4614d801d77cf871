"""What somebody wants, as values: the page, the API and the commands build them, engines serve
them. Words of prompts, spelling out, cutting and checking are the engine's business. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from kimi_demo.audio import Audio
from kimi_demo.messages import AudioPart, Message, OutputType, Sampling, TextPart


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """sampling: in place of the checkpoint's own for this task. seed: repeats an answer."""

    sampling: Sampling | None = None
    seed: int = 0


@dataclass(frozen=True)
class Speak(_Drawn):
    """A text is read aloud.

    language: a code, or empty to detect it. instructions: how to speak, for checkpoints that follow
    any. prompt: a way to ask for speech, by its name in the task table. check: the model listens to
    each sentence before anybody else does, and speaks it once more if it cannot understand it.
    max_new_tokens: decode steps of each sentence, at most.
    """

    text: str
    language: str = ""
    instructions: str = ""
    prompt: str = ""
    check: bool = False
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Transcribe(_Drawn):
    """What is said in a recording is written down.

    language: a code, or empty to detect it. wording: a published instruction by its name in the
    task table. again: a part of which the model only repeated itself is heard once more, which
    takes words back. may_be_empty: a sound without a word is no error.
    """

    sound: Audio
    language: str = ""
    wording: str = ""
    again: bool = True
    may_be_empty: bool = False


@dataclass(frozen=True)
class ListenBack(_Drawn):
    """Speech is written down by the model that spoke it. said: each text with its sound."""

    said: tuple[tuple[str, Audio], ...]


@dataclass(frozen=True)
class Translate(_Drawn):
    """What is said in a recording is written down in English; see `Transcribe`."""

    sound: Audio
    again: bool = True
    may_be_empty: bool = False


@dataclass(frozen=True)
class Caption(_Drawn):
    """A sentence about a sound. language: of the sentence, a code of the task table."""

    sound: Audio
    language: str = ""
    again: bool = True


@dataclass(frozen=True)
class _Asked(_Drawn):
    """messages: all so far, as they were typed and said; the last one is the user's.

    instructions: how to answer, for checkpoints that follow any. stops: texts before which the
    answer ends. max_new_tokens: decode steps at most; None takes the model's limit.
    """

    messages: tuple[Message, ...]
    instructions: str = ""
    stops: tuple[str, ...] = ()
    max_new_tokens: int | None = None

    @property
    def asked(self) -> Message:
        return self.messages[-1]


@dataclass(frozen=True)
class Chat(_Asked):
    """The next turn of a conversation. output: "text" in writing, "both" in speech with its text"""

    output: OutputType = "both"

    @classmethod
    def about(cls, asked: str | Audio, output: OutputType = "both", seed: int = 0) -> Chat:
        part = AudioPart(asked) if isinstance(asked, Audio) else TextPart(asked)
        return cls((Message("user", (part,)),), output=output, seed=seed)


@dataclass(frozen=True)
class Ask(_Asked):
    """A question about sounds: the last message has both. again: see `Transcribe`."""

    again: bool = True

    @classmethod
    def about(cls, sound: Audio, question: str) -> Ask:
        return cls((Message("user", (TextPart(question), AudioPart(sound))),))


@dataclass(frozen=True)
class Choose(_Asked):
    """The likeliest of several answers.

    task: a closed question of the task table by its name; then the last message is one sound,
    beside it at most another wording of the question, and options, if any, stand in place of the
    table's. Without a task the options are answers to the messages, word for word.
    """

    options: tuple[str, ...] = ()
    task: str = ""

    @classmethod
    def about(
        cls, sound: Audio, task: str, options: tuple[str, ...] = (), question: str = ""
    ) -> Choose:
        words = (TextPart(question),) if question.strip() else ()
        message = Message("user", (*words, AudioPart(sound)))
        return cls((message,), options=tuple(options), task=task)


Intent = Speak | Transcribe | ListenBack | Translate | Caption | Chat | Ask | Choose

# As metrics name them.
NAMES: dict[type, str] = {
    Speak: "speech",
    Transcribe: "transcription",
    ListenBack: "transcription",
    Translate: "translation",
    Chat: "chat",
    Caption: "question",
    Ask: "question",
    Choose: "question",
}


def heard_s(intent: Intent) -> float:
    """Seconds of sound that came with it; what a conversation holds from before does not count."""
    match intent:
        case Speak():
            return 0.0
        case Transcribe(sound) | Translate(sound) | Caption(sound):
            return sound.duration_s
        case ListenBack(said):
            return sum(sound.duration_s for _, sound in said)
    parts = intent.asked.parts
    return sum(part.audio.duration_s for part in parts if isinstance(part, AudioPart))
