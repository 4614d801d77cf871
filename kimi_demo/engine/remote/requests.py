"""Intents as a server takes them: one intent, one request. The additions of the wire are sent to a
server of ours alone.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kimi_demo.audio import Audio
from kimi_demo.encoding import encoded
from kimi_demo.engine.tasks.memory import exchanges, newest, remembered
from kimi_demo.engine.tasks.words import in_language
from kimi_demo.errors import InputError
from kimi_demo.intents import Ask, Caption, Chat, Choose, Speak, Transcribe, Translate
from kimi_demo.messages import (
    AudioPart,
    Message,
    Option,
    Part,
    Sampling,
    SpokenPart,
    StreamSampling,
    TextPart,
)
from kimi_demo.tasks import TaskTable
from kimi_demo.text.languages import DETECT
from kimi_demo.wire.chat import (
    AssistantMessage,
    AudioContent,
    AudioOptions,
    AudioReference,
    ChatMessage,
    ChatRequest,
    Content,
    InputAudio,
    StreamOptions,
    SystemMessage,
    TextContent,
    UserMessage,
)
from kimi_demo.wire.speech import SpeechRequest

Asked = Chat | Ask | Choose | Caption
LONG_S = 600.0  # from here on a recording is sent as FLAC: an hour must fit into a request


@dataclass(frozen=True)
class Dialect:
    """How a server is talked to.

    ours: it is one of this code and understands the additions.
    """

    ours: bool
    chat_model: str
    speech_model: str
    transcription_model: str
    translation_model: str
    voice: str
    tasks: TaskTable


def speech(intent: Speak, to: Dialect) -> dict[str, Any]:
    """The body for /audio/speech. Raises: pydantic's ValidationError, InputError."""
    if intent.check and not to.ours:
        raise InputError("that server cannot listen to its own speech: leave the check out")
    fields: dict[str, Any] = {
        "input": intent.text,
        "model": to.speech_model,
        "voice": to.voice,
        "response_format": "pcm",
    }
    if intent.instructions:
        fields["instructions"] = intent.instructions
    if to.ours:
        # Server-sent events say at their end what was used.
        fields |= {"stream_format": "sse", "progress": True, "seed": intent.seed}
        fields |= _hint(intent.language)
        fields |= {name: value for name in ("prompt", "check") if (value := getattr(intent, name))}
        if intent.sampling:
            drawn = intent.sampling.audio
            fields |= {"temperature": drawn.temperature, "top_k": drawn.top_k}
    return SpeechRequest(**fields).model_dump(mode="json", exclude_unset=True)


def transcription(intent: Transcribe | Translate, to: Dialect) -> tuple[str, dict[str, Any]]:
    """The address and the form, as httpx takes it."""
    fields: dict[str, Any] = {"response_format": "json"}
    if isinstance(intent, Translate):  # others tell it as a whole only
        address, fields["model"] = "/audio/translations", to.translation_model
    else:
        address, fields["model"] = "/audio/transcriptions", to.transcription_model
        fields["stream"] = "true"
        fields |= _hint(intent.language)
    if to.ours:
        fields |= {"stream": "true", "progress": "true", "seed": intent.seed}
        fields |= {"again": str(intent.again).lower()}
        fields |= _words_drawn(intent.sampling)
        if isinstance(intent, Transcribe) and intent.wording:
            fields["wording"] = intent.wording
    return address, {"data": fields, "files": {"file": _file(intent.sound)}}


def chat(intent: Asked, to: Dialect, by_id: bool = True) -> dict[str, Any]:
    """The body for /chat/completions. by_id: spoken answers stand as their ids, where they have
    any; else as their words.

    Raises: pydantic's ValidationError for what the protocol does not allow.
    """
    fields: dict[str, Any] = {
        "model": to.chat_model,
        "messages": [_message(message, by_id) for message in _messages(intent, to)],
        "stream": True,
        "stream_options": StreamOptions(include_usage=True),
        "seed": intent.seed,
        "modalities": ["text"],
    }
    if isinstance(intent, Chat) and intent.output == "both":
        fields["modalities"] = ["text", "audio"]
        fields["audio"] = AudioOptions(voice=to.voice, format="pcm16")  # no other can be streamed
    if not isinstance(intent, Caption):
        if intent.instructions:
            lead = SystemMessage(role="system", content=intent.instructions)
            fields["messages"].insert(0, lead)
        fields |= {"stop": list(intent.stops)} if intent.stops else {}
        if intent.max_new_tokens is not None:
            fields["max_completion_tokens"] = intent.max_new_tokens
    if to.ours:
        fields |= _additions(intent)
    return ChatRequest(**fields).model_dump(mode="json", exclude_unset=True)


def refers(intent: Asked) -> bool:
    """Whether an answer of before is named by its id."""
    return not isinstance(intent, Caption) and any(map(_id_of, intent.messages))


def options(intent: Asked, to: Dialect) -> tuple[Option, ...]:
    if not isinstance(intent, Choose):
        return ()
    if not intent.task:
        return tuple(Option(option, option) for option in intent.options)
    return to.tasks.choices[intent.task].with_own(_words_of(intent.asked), intent.options).weighed()


def _additions(intent: Asked) -> dict[str, Any]:
    fields = {"progress": True, **_words_drawn(intent.sampling)}
    if isinstance(intent, Caption):
        fields |= {"task": "caption"}
        fields |= _hint(intent.language)
    if isinstance(intent, Choose):
        fields |= {"task": intent.task} if intent.task else {}
        fields |= {"guided_choice": list(intent.options)} if intent.options else {}
    if isinstance(intent, Ask | Caption):
        fields["again"] = intent.again
    return fields


def _hint(language: str) -> dict[str, str]:
    """The language, unless it is to be detected."""
    return {} if language in ("", DETECT) else {"language": language}


def _words_drawn(sampling: Sampling | None) -> dict[str, Any]:
    """How our own server is to draw words; others have no such parameters, or other defaults."""
    drawn: StreamSampling | None = sampling.text if sampling else None
    names = ("temperature", "top_k", "repetition_penalty")
    return {name: getattr(drawn, name) for name in names} if drawn else {}


def _messages(intent: Asked, to: Dialect) -> tuple[Message, ...]:
    """No more of a conversation than is remembered; in words what a server does not say itself."""
    tasks = to.tasks
    if isinstance(intent, Caption):
        words = "" if to.ours else in_language(tasks.caption_prompts, intent.language)
        return (_about(words, intent.sound),)
    *earlier, asked = intent.messages
    if isinstance(intent, Choose) and intent.task and not to.ours:
        choice = tasks.choices[intent.task].with_own(_words_of(asked), intent.options)
        sound = next(part.audio for part in asked.parts if isinstance(part, AudioPart))
        return (_about(choice.prompt(), sound),)
    recent = [m for turn in newest(exchanges(earlier), tasks.memory.turns) for m in turn]
    return (*remembered(recent, (asked,), tasks.memory), asked)


def _about(words: str, sound: Audio) -> Message:
    part = AudioPart(sound)
    return Message("user", (TextPart(words), part) if words else (part,))


def _words_of(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, TextPart))


def _message(message: Message, by_id: bool) -> ChatMessage:
    if message.role == "user":
        return UserMessage(role="user", content=_content(message.parts))
    if by_id and (id_ := _id_of(message)):
        return AssistantMessage(role="assistant", audio=AudioReference(id=id_))
    return AssistantMessage(role="assistant", content="".join(map(_said, message.parts)))


def _id_of(message: Message) -> str:
    return next((part.id for part in message.parts if isinstance(part, SpokenPart)), "")


def _content(parts: Sequence[Part]) -> str | list[Content]:
    if all(isinstance(part, TextPart) for part in parts):
        return "".join(map(_said, parts))
    return [
        _sound(part.audio)
        if isinstance(part, AudioPart)
        else TextContent(type="text", text=_said(part))
        for part in parts
    ]


def _sound(audio: Audio) -> AudioContent:
    data = base64.b64encode(audio.wav()).decode()
    return AudioContent(type="input_audio", input_audio=InputAudio(data=data, format="wav"))


def _said(part: Part) -> str:
    return "" if isinstance(part, AudioPart) else part.text


def _file(sound: Audio) -> tuple[str, bytes, str]:
    if sound.duration_s > LONG_S:
        return "sound.flac", encoded(sound, "flac"), "audio/flac"
    return "sound.wav", sound.wav(), "audio/wav"
