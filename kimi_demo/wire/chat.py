"""POST /chat/completions: a conversation, written and spoken."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from kimi_demo.wire.progress import AGAIN, ASKED, Progress
from kimi_demo.wire.speech import RepetitionPenalty, Seed, Temperature, TopK, VoiceId
from kimi_demo.wire.strict import Strict

ReplyFormat = Literal["wav", "mp3", "flac", "opus", "aac", "pcm16"]
Modality = Literal["text", "audio"]
MAX_PARTS = 64


def _form(value: Any) -> str:
    return "str" if isinstance(value, str) else "list[...]"


# Text or a list: which of the two is meant is seen first, so that a refusal speaks of that alone.
_TEXT_OR_LIST = Discriminator(_form)


class TextContent(Strict):
    """Written words."""

    type: Literal["text"]
    text: str


class InputAudio(Strict):
    """A sound in the request."""

    data: str = Field(description="The file in base64.")
    format: str = Field(
        default="wav", description="wav, mp3 ...; the file itself is asked, whatever this says."
    )


class AudioContent(Strict):
    """A sound to listen to."""

    type: Literal["input_audio"]
    input_audio: InputAudio


Content = Annotated[TextContent | AudioContent, Field(discriminator="type")]
Words = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[list[TextContent], Field(max_length=MAX_PARTS), Tag("list[...]")],
    _TEXT_OR_LIST,
]
WordsAndSounds = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[list[Content], Field(min_length=1, max_length=MAX_PARTS), Tag("list[...]")],
    _TEXT_OR_LIST,
]
StopText = Annotated[str, Field(min_length=1, max_length=256)]
StopTexts = Annotated[
    Annotated[StopText, Tag("str")]
    | Annotated[list[StopText], Field(max_length=4), Tag("list[...]")],
    _TEXT_OR_LIST,
]


class AudioReference(Strict):
    """A spoken answer of before. What else its reply held may come along, unread."""

    id: str = Field(description="The `audio.id` of that answer.")
    data: str | None = Field(default=None, description="Has no effect.")
    expires_at: int | None = Field(default=None, description="Has no effect.")
    transcript: str | None = Field(default=None, description="Has no effect.")


class SystemMessage(Strict):
    """How to answer. The model has no such role: the words go before the user's first ones, or are
    left out where a checkpoint follows none, which the header `x-ignored` then says."""

    role: Literal["system", "developer"]
    content: Words
    name: str | None = None


class UserMessage(Strict):
    """What the user typed or said."""

    role: Literal["user"]
    content: WordsAndSounds
    name: str | None = None


class AssistantMessage(Strict):
    """What was answered before: its audio id keeps the voice, its words alone do as well."""

    role: Literal["assistant"]
    content: Words | None = None
    audio: AudioReference | None = None
    refusal: None = None
    name: str | None = None
    heard: str | None = Field(default=None, description="Of its reply; has no effect.")


ChatMessage = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class AudioOptions(Strict):
    """How the answer sounds."""

    voice: str | VoiceId = Field(description="A name of GET /v1/audio/voices.")
    format: ReplyFormat = Field(description="How it is encoded; streams must say pcm16.")


class StreamOptions(Strict):
    """What a stream holds besides."""

    include_usage: bool = Field(default=False, description="A last chunk with the usage.")
    include_obfuscation: bool | None = Field(default=None, description="Has no effect.")


class TextFormat(Strict):
    """The form of the answer."""

    type: Literal["text"]


class ChatRequest(Strict):
    """The next turn of a conversation."""

    model: str = Field(description="A model or alias of GET /v1/models.")
    messages: list[ChatMessage] = Field(
        min_length=1, max_length=512, description="All so far; the last one is the user's."
    )
    modalities: list[Modality] | None = Field(
        None, description='["text"], or ["text", "audio"] for an answer that is spoken, too.'
    )
    audio: AudioOptions | None = Field(None, description="Needed where audio is asked for.")
    stream: bool | None = Field(False, description="Send the answer while it is made.")
    stream_options: StreamOptions | None = Field(None, description="Of a stream.")
    max_completion_tokens: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Decode steps at most, each a token of text, of speech or of both; 12.5 are a "
        "second of speech.",
    )
    max_tokens: int | None = Field(None, ge=1, le=100_000, description="The older name of it.")
    temperature: Temperature | None = Field(
        None, description="Of the words; 0 takes the likeliest."
    )
    seed: Seed | None = Field(None, description="The same seed gives the same answer; else 0.")
    stop: StopTexts | None = Field(
        None,
        description="Up to 4 texts before which the answer ends. Words run ahead of their sound: a "
        "spoken answer keeps the sound that was made so far.",
    )
    n: Literal[1] | None = Field(None, description="One answer; no more can be had.")
    top_p: Literal[1] | None = Field(None, description="1; this model takes top_k instead.")
    presence_penalty: Literal[0] | None = Field(None, description="0; see repetition_penalty.")
    frequency_penalty: Literal[0] | None = Field(None, description="0; see repetition_penalty.")
    logprobs: Literal[False] | None = Field(None, description="False; none can be had.")
    store: Literal[False] | None = Field(None, description="False; nothing is stored.")
    response_format: TextFormat | None = Field(None, description="Text, and no other.")
    tool_choice: Literal["none"] | None = Field(None, description="none; there are no tools.")
    parallel_tool_calls: bool | None = Field(None, description="Has no effect.")
    service_tier: str | None = Field(None, description="Has no effect.")
    prompt_cache_key: str | None = Field(None, description="Has no effect.")
    top_logprobs: Literal[0] | None = Field(None, description="0; none can be had.")
    user: str | None = Field(None, description="Has no effect.")
    metadata: dict[str, str] | None = Field(None, description="Has no effect.")
    safety_identifier: str | None = Field(None, description="Has no effect.")
    top_k: TopK | None = Field(
        None, description="An addition: candidates of each word; 0 takes all."
    )
    repetition_penalty: RepetitionPenalty | None = Field(
        None, description="An addition: above 1 the words repeat themselves less."
    )
    guided_choice: list[str] | None = Field(
        None,
        min_length=2,
        max_length=64,
        description="An addition: the answer is the likeliest of these; `choice_probabilities` "
        "of the reply says how likely each is.",
    )
    task: str | None = Field(
        None,
        description="An addition: what is done with the one sound of the last message. `caption` "
        "describes it; a name of `about.tasks.choices` puts that closed question, in other words "
        "if the message has some, with other options if `guided_choice` has some.",
    )
    language: str | None = Field(
        None, description="An addition: of a caption, a code of `about.tasks.caption_prompts`."
    )
    again: bool | None = Field(None, description=AGAIN)
    progress: bool = Field(False, description=f"{ASKED} Of a stream.")


class ReplyAudio(BaseModel):
    """The answer's sound."""

    id: str = Field(description="Stands for it in the next request's history.")
    data: str = Field(description="The file in base64.")
    expires_at: int = Field(description="Unix time until which the id is known.")
    transcript: str = Field(description="Its words.")


class ReplyMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None = Field(description="Its words; null where they stand with the audio.")
    refusal: None = None
    audio: ReplyAudio | None = None
    heard: str | None = Field(
        default=None,
        description="An addition: what the model heard the user say, where it writes that down.",
    )


class ReplyChoice(BaseModel):
    """The only choice."""

    index: Literal[0] = 0
    message: ReplyMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class PromptTokenDetails(BaseModel):
    """What the prompt's tokens are."""

    audio_tokens: int
    text_tokens: int
    cached_tokens: int = 0


class CompletionTokenDetails(BaseModel):
    """What the answer's tokens are."""

    audio_tokens: int
    text_tokens: int
    reasoning_tokens: int = 0


class ChatUsage(BaseModel):
    """Tokens that were read and made."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokenDetails
    completion_tokens_details: CompletionTokenDetails


class ChatCompletion(BaseModel):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ReplyChoice]
    usage: ChatUsage
    choice_probabilities: list[float] | None = Field(
        default=None, description="An addition: of each guided choice."
    )


class AudioDeltaPart(BaseModel):
    """More of the sound; only what is new is there."""

    id: str | None = None
    transcript: str | None = None
    data: str | None = Field(default=None, description="pcm16 at 24 kHz, in base64.")
    expires_at: int | None = None


class Delta(BaseModel):
    """More of the answer; only what is new is there."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    audio: AudioDeltaPart | None = None
    heard: str | None = Field(
        default=None,
        description="An addition: of what the model heard the user say; before the answer.",
    )


class ChunkChoice(BaseModel):
    """The only choice."""

    index: int = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: None = None


class ChatChunk(BaseModel):
    """A piece of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    choice_probabilities: list[float] | None = None
    progress: Progress | None = None
