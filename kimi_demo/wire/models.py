"""GET /models, /models/{id}, /audio/voices: what there is, and what ours says of itself besides."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class About(BaseModel):
    """An addition of this server: what a page must know of the checkpoint that answers here."""

    label: str = Field(description="One honest sentence about the checkpoint.")
    card: str = Field(
        default="", description="Markdown: what it can do, how well, and how it was made."
    )
    device: str = Field(description="Where it computes.")
    parameters: int = Field(description="Values of the model.")
    sample_rate: int = Field(description="Of its speech, in Hz.")
    languages: list[str] = Field(description="Languages that it speaks, as codes.")
    slots: int = Field(default=1, description="Requests that it serves at once.")
    tasks: dict[str, Any] = Field(
        description="Limits, option lists and prompts, as in the checkpoint's tasks.json; the "
        "server puts these prompts by itself."
    )


class Model(BaseModel):
    """A model, or another name for one."""

    id: str = Field(description="What requests say as `model`.")
    object: Literal["model"] = "model"
    created: int = Field(description="Unix time at which this server started.")
    owned_by: str = Field(default="kimi-demo", description="Who serves it.")
    root: str | None = Field(default=None, description="The model behind an alias.")
    about: About | None = Field(
        default=None, description="Of the model itself, not of its aliases."
    )


class ModelList(BaseModel):
    """All models and aliases."""

    object: Literal["list"] = "list"
    data: list[Model]


class Voice(BaseModel):
    """A voice, or another name for one."""

    id: str = Field(description="What requests say as `voice`.")
    name: str = Field(description="For people.")
    object: Literal["audio.voice"] = "audio.voice"


class VoiceList(BaseModel):
    """All voices."""

    object: Literal["list"] = "list"
    data: list[Voice]
