"""Messages as POST /chat/completions takes them."""

from __future__ import annotations

import base64
from typing import Any

from kimi_demo.audio import Audio
from kimi_demo.engine.remote.server import Server, drawn
from kimi_demo.messages import AudioPart, Message, Part, Request, SpokenPart, TextPart
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
    TextContent,
    UserMessage,
)


def refers(request: Request) -> bool:
    """Whether an answer of before is named by its id."""
    return any(_id_of(message) for message in request.messages)


def body_of(server: Server, request: Request, by_id: bool = True) -> dict[str, Any]:
    """The request as JSON. by_id: spoken answers stand as their ids, where they have any; else as
    their words.

    Raises: pydantic's ValidationError for what the protocol does not allow.
    """
    body = ChatRequest(
        model=server.chat_model,
        messages=[_message(message, by_id) for message in request.messages],
        stream=True,
        stream_options=StreamOptions(include_usage=True),
        seed=request.seed,
        **_output(server, request),
        **(_additions(request) if server.ours else {}),
    )
    return body.model_dump(mode="json", exclude_unset=True)


def _output(server: Server, request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {"modalities": ["text"]}
    if request.output == "both" and not request.options:
        audio = AudioOptions(voice=server.voice, format="pcm16")  # no other can be streamed
        fields = {"modalities": ["text", "audio"], "audio": audio}
    if request.max_new_tokens is not None:
        fields["max_completion_tokens"] = request.max_new_tokens
    return fields


def _additions(request: Request) -> dict[str, Any]:
    fields = drawn(request.sampling.text)
    if request.options:
        fields["guided_choice"] = [option.answer for option in request.options]
    return fields


def _message(message: Message, by_id: bool) -> ChatMessage:
    if message.role == "user":
        return UserMessage(role="user", content=_content(message))
    if by_id and (id_ := _id_of(message)):
        return AssistantMessage(role="assistant", audio=AudioReference(id=id_))
    return AssistantMessage(role="assistant", content="".join(map(_words, message.parts)))


def _id_of(message: Message) -> str:
    return next((part.id for part in message.parts if isinstance(part, SpokenPart)), "")


def _content(message: Message) -> str | list[Content]:
    if all(isinstance(part, TextPart) for part in message.parts):
        return "".join(map(_words, message.parts))
    return [
        _sound(part.audio)
        if isinstance(part, AudioPart)
        else TextContent(type="text", text=_words(part))
        for part in message.parts
    ]


def _sound(audio: Audio) -> AudioContent:
    data = base64.b64encode(audio.wav()).decode()
    return AudioContent(type="input_audio", input_audio=InputAudio(data=data, format="wav"))


def _words(part: Part) -> str:
    return "" if isinstance(part, AudioPart) else part.text
