"""What clients of a live conversation send, in the form of OpenAI's Realtime API (general release).

Bodies are checked here; what is refused names its parameter.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kimi_demo.errors import InputError
from kimi_demo.wire.strict import Strict

Modality = Literal["text", "audio"]
MAX_INSTRUCTIONS = 8000


class _Plain(BaseModel):
    """Refuses what it does not know; null is a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AudioFormat(_Plain):
    """Of samples in base64: 16 bit at 24 kHz, or telephone companding at 8 kHz; mono."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Literal[24000, 8000, None] = None


class ServerVad(_Plain):
    """A turn ends after a fixed silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    silence_duration_ms: int = Field(default=500, ge=200, le=10_000)
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: int | None = Field(default=None, ge=1000, le=60_000)


class SemanticVad(_Plain):
    """A turn ends when it sounds complete, however long the silence."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class Transcription(_Plain):
    """Whether the client is told what was heard. model: any; the served one hears."""

    model: str | None = None
    language: str | None = None
    prompt: Literal[None, ""] = None


class NoiseReduction(_Plain):
    """Accepted, without effect: browsers clean what a microphone hears."""

    type: Literal["near_field", "far_field"] | None = None


class AudioInput(_Plain):
    format: AudioFormat = AudioFormat()
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


class VoiceName(_Plain):
    id: str


class AudioOutput(_Plain):
    format: AudioFormat = AudioFormat()
    voice: str | VoiceName = "kimi"
    speed: float = Field(default=1.0, ge=1.0, le=1.0)


class SessionAudio(_Plain):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class SessionConfig(_Plain):
    """All that can be set; a client's update replaces parts of it."""

    type: Literal["realtime"] = "realtime"
    model: str | None = None
    output_modalities: list[Modality] = Field(default=["audio"], min_length=1, max_length=2)
    instructions: str = Field(default="", max_length=MAX_INSTRUCTIONS)
    audio: SessionAudio = SessionAudio()
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] = "inf"
    tools: list[Any] = Field(default=[], max_length=0)
    tool_choice: Literal["auto", "none"] = "auto"
    # Accepted, without effect: there is nothing to trace, to call or to report beside.
    tracing: Any = None
    truncation: Any = "auto"
    include: list[str] | None = None
    parallel_tool_calls: bool | None = None
    prompt: None = None
    reasoning: None = None

    @property
    def speaks(self) -> bool:
        return "audio" in self.output_modalities

    @property
    def turns(self) -> ServerVad | SemanticVad | None:
        return self.audio.input.turn_detection

    def updated(self, patch: dict[str, Any]) -> SessionConfig:
        """With the patch's values in place of its own; null keeps one, but for what can be off.

        Raises: InputError for what cannot be set.
        """
        return checked(_CONFIG, _merged(self.model_dump(), patch), "session")


_CONFIG = TypeAdapter(SessionConfig)
_MAY_BE_OFF = {"transcription", "noise_reduction", "turn_detection", "idle_timeout_ms", "tracing"}


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found = dict(old)
    for name, value in new.items():
        before = _fields(found.get(name))
        after = _fields(value)
        if before and after and after.get("type", before.get("type")) == before.get("type"):
            found[name] = _merged(before, after)
        elif value is not None or name in _MAY_BE_OFF:
            found[name] = value
    return found


def _fields(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def without_turns(patch: dict[str, Any]) -> dict[str, Any]:
    """A session's update that leaves the detection of turns as it is."""
    audio = _fields(patch.get("audio"))
    heard = {k: v for k, v in _fields(audio.get("input")).items() if k != "turn_detection"}
    return {**patch, "audio": {**audio, "input": heard}}


class Content(Strict):
    """A part of an item, in whichever direction it was said."""

    type: Literal["input_text", "input_audio", "output_text", "output_audio", "text", "audio"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class ItemMessage(Strict):
    """A message that the client puts into the conversation."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system"]
    content: list[Content] = Field(min_length=1, max_length=16)
    id: str | None = Field(default=None, min_length=1, max_length=64)
    object: str | None = None
    status: str | None = None


class ItemReference(Strict):
    """An item of the conversation, by its id."""

    type: Literal["item_reference"]
    id: str


class _Sent(Strict):
    event_id: str | None = None


class SessionUpdate(_Sent):
    type: Literal["session.update"]
    session: dict[str, Any]


class BufferAppend(_Sent):
    type: Literal["input_audio_buffer.append"]
    audio: str


class BufferCommit(_Sent):
    type: Literal["input_audio_buffer.commit"]


class BufferClear(_Sent):
    type: Literal["input_audio_buffer.clear"]


class OutputClear(_Sent):
    type: Literal["output_audio_buffer.clear"]


class ItemCreate(_Sent):
    type: Literal["conversation.item.create"]
    item: ItemMessage
    previous_item_id: str | None = None


class ItemDelete(_Sent):
    type: Literal["conversation.item.delete"]
    item_id: str


class ItemRetrieve(_Sent):
    type: Literal["conversation.item.retrieve"]
    item_id: str


class ItemTruncate(_Sent):
    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: int = Field(ge=0, le=0)
    audio_end_ms: int = Field(ge=0)


class ResponseAudioOutput(Strict):
    format: AudioFormat | None = None
    voice: str | VoiceName | None = None


class ResponseAudio(Strict):
    output: ResponseAudioOutput | None = None


class ResponseConfig(Strict):
    """How one response differs from the session's others."""

    conversation: Literal["auto", "none"] = "auto"
    input: list[ItemMessage | ItemReference] | None = None
    instructions: str | None = Field(default=None, max_length=MAX_INSTRUCTIONS)
    output_modalities: list[Modality] | None = Field(default=None, min_length=1, max_length=2)
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] | None = None
    metadata: dict[str, str] | None = None
    audio: ResponseAudio | None = None
    tools: list[Any] = Field(default=[], max_length=0)
    tool_choice: Literal["auto", "none"] = "auto"


class ResponseCreate(_Sent):
    type: Literal["response.create"]
    response: ResponseConfig = ResponseConfig()


class ResponseCancel(_Sent):
    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent = (
    SessionUpdate
    | BufferAppend
    | BufferCommit
    | BufferClear
    | OutputClear
    | ItemCreate
    | ItemDelete
    | ItemRetrieve
    | ItemTruncate
    | ResponseCreate
    | ResponseCancel
)
_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])


class ExpiresAfter(Strict):
    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(default=600, ge=10, le=7200)


class SecretRequest(Strict):
    """POST /realtime/client_secrets."""

    expires_after: ExpiresAfter = Field(default=ExpiresAfter(), description="When it ends.")
    session: dict[str, Any] = Field(
        default_factory=dict, description="How its conversations begin, as in `session.update`."
    )


class SecretReply(BaseModel):
    """A key for one page of one visitor. expires_at: Unix time."""

    value: str
    expires_at: int
    session: dict[str, Any]


def client_event(text: str | bytes) -> ClientEvent:
    """Reads a frame. Raises: InputError."""
    try:
        return _EVENT.validate_json(text)
    except ValidationError as exc:
        raise _refusal(exc, "") from exc


def checked(adapter: TypeAdapter[Any], value: Any, name: str) -> Any:
    """Raises: InputError that names the parameter, below `name`."""
    try:
        return adapter.validate_python(value)
    except ValidationError as exc:
        raise _refusal(exc, name) from exc


def _refusal(exc: ValidationError, name: str) -> InputError:
    found = exc.errors(include_url=False, include_input=False)[0]
    if found["type"] == "json_invalid":
        return InputError("a frame is no JSON object: send one event in each", None, "invalid_json")
    if found["type"] == "union_tag_invalid" and not found["loc"]:
        sent = found.get("ctx", {}).get("tag")
        return InputError(f"there is no event {sent!r} here", "type", "unknown_event")
    places = [str(place) for place in found["loc"] if not _is_kind(place)]
    param = ".".join(filter(None, [name, *places])) or None
    unknown = found["type"] == "extra_forbidden" or param in ("session.tools", "response.tools")
    if unknown:
        return InputError(f"{param} is not supported here: leave it out", param, "unsupported")
    return InputError(f"{param or 'the event'}: {found['msg']}", param, "invalid_value")


def _is_kind(place: int | str) -> bool:
    """What pydantic puts between the names: which of several kinds it took the value for."""
    text = str(place)
    return "." in text or text[:1].isupper() or text in _KINDS or "[" in text


_KINDS = {"server_vad", "semantic_vad", "int", "str", "literal"}
