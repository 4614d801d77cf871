"""The task table: which words, output kind and sampling each task uses, and how a request is built.

The defaults are the published prompts; a checkpoint may bring its own table (tasks.json), for
example because it was trained on shorter ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kimi_demo.audio import Audio, check_heard
from kimi_demo.choices import PUBLISHED, ChoiceTask
from kimi_demo.errors import CheckpointError, InputError
from kimi_demo.messages import (
    AudioPart,
    Message,
    OutputType,
    Request,
    Sampling,
    StreamSampling,
    TextPart,
)
from kimi_demo.text import NORMALIZERS, unchanged

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
        """The text as it is sent."""
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
    server_normalizer: the one that a server applies by itself, for those who show what it will say.
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
    server_normalizer: str = "none"
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
        """What `of` reads."""
        return dataclasses.asdict(self)

    def speech(
        self,
        text: str,
        sampling: Sampling | None = None,
        seed: int = 0,
        prompt: str = "",
        instructions: str = "",
    ) -> Request:
        """Text to speech. prompt: one of `speech_prompts`; empty takes the usual one.
        instructions: how to speak, for checkpoints that follow any.

        Raises: InputError if the text is empty, too long or has nothing that can be spoken, or for
        an unknown prompt.
        """
        part = self.aloud(self.readable(text), prompt)
        if instructions.strip() and self.follows_instructions:
            part = dataclasses.replace(part, text=f"{instructions.strip()}\n{part.text}")
        message = Message("user", (part,))
        sampling = sampling or self.speech_sampling
        return Request((message,), "both", sampling, seed, task="speech")

    def aloud(self, spoken: str, prompt: str = "") -> TextPart:
        """Readable text as the model is asked to read it. Raises: InputError, unknown prompt."""
        if prompt and prompt not in self.speech_prompts:
            raise _unknown("way to ask for speech", prompt, self.speech_prompts)
        own_words = SpeechPrompt(self.speech_prompt)
        return self.speech_prompts.get(prompt or self.speech_prompt, own_words).around(spoken)

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

    def transcription(
        self, audio: Audio, language: str = "", seed: int = 0, wording: str = ""
    ) -> Request:
        """Speech to text. wording: one of `wordings`, with the sampling of measurements.

        Raises: AudioError if the sound cannot be listened to; InputError for an unknown wording.
        """
        if wording and wording not in self.wordings:
            raise _unknown("wording", wording, self.wordings)
        prompt = self.wordings.get(wording) or _in(self.transcription_prompts, language)
        sampling = self.evaluation_sampling if wording else self.listening_sampling
        request = self._about(audio, prompt, seed, self.transcript_limit, sampling)
        return dataclasses.replace(request, task="transcription", language=language)

    def translation(self, audio: Audio, seed: int = 0) -> Request:
        """Speech in any language to English text.

        Raises: AudioError if the sound cannot be listened to; InputError if the checkpoint has not
        learned it.
        """
        if not self.translation_prompt:
            raise InputError(
                "this model has not learned to translate: ask for a transcription instead"
            )
        request = self._about(audio, self.translation_prompt, seed, self.transcript_limit)
        return dataclasses.replace(request, task="translation", language="en")

    def caption(self, audio: Audio, language: str = "", seed: int = 0) -> Request:
        """A sentence about the sound. Raises: AudioError if it cannot be listened to."""
        return self._about(audio, _in(self.caption_prompts, language), seed, self.answer_limit)

    def ask(self, audio: Audio, question: str, seed: int = 0) -> Request:
        """Any question about the sound. Raises: InputError, AudioError."""
        return self._about(audio, self.readable(question), seed, self.answer_limit)

    def again(self, request: Request) -> Request:
        """The same question about a sound, put so that the answer repeats itself less."""
        return dataclasses.replace(request, sampling=self.evaluation_sampling)

    def choose(
        self, audio: Audio, task: str, options: Sequence[str] = (), question: str = ""
    ) -> Request:
        """A closed question: one of the table's, with its own options unless others are given.

        Raises: InputError for an unknown task or unusable options; AudioError.
        """
        if task not in self.choices:
            raise _unknown("task", task, self.choices)
        choice = self.choices[task].with_own(question, options)
        request = self._about(audio, choice.prompt(), 0, self.answer_limit)
        return dataclasses.replace(request, options=choice.weighed())

    def _about(
        self,
        audio: Audio,
        prompt: str,
        seed: int,
        limit: TextLimit,
        sampling: Sampling | None = None,
    ) -> Request:
        heard = check_heard(audio, self.max_audio_s)
        message = Message("user", (TextPart(prompt), AudioPart(heard)))
        sampling = sampling or self.listening_sampling
        return Request((message,), "text", sampling, seed, limit.of(heard), task="question")

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

    @property
    def normalizer(self) -> str:
        """The name of the one that is applied, here or by the server."""
        return self.server_normalizer if self.text_normalizer == "none" else self.text_normalizer

    def said(self, text: str) -> str:
        """The words that will be said for a text, whoever spells them out.

        Raises: InputError for letters that cannot be spoken.
        """
        return NORMALIZERS.get(self.normalizer, unchanged)(text)

    def with_sampling(self, speech: Sampling) -> TaskTable:
        """The same table with other sampling for speech."""
        return dataclasses.replace(self, speech_sampling=speech)


def _in(prompts: Mapping[str, str], language: str) -> str:
    return prompts.get(language) or prompts[ANY_LANGUAGE]


def _unknown(what: str, name: str, known: Mapping[str, object]) -> InputError:
    if not known:
        return InputError(f"there is no {what} {name!r}: this model knows only its own")
    return InputError(f"there is no {what} {name!r}: choose one of {', '.join(known)}")


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
