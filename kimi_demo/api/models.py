"""GET /models, /models/{id}, /audio/voices."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from kimi_demo.api.aliases import VOICES
from kimi_demo.api.service import Service, Serving
from kimi_demo.engine.base import Capabilities
from kimi_demo.wire.models import About, Model, ModelList, Voice, VoiceList

router = APIRouter(tags=["models"])


@router.get("/models", summary="All models and aliases")
def list_models(service: Serving) -> ModelList:
    """What requests may say as `model`; the first one is the model itself."""
    return ModelList(data=[_model(name, service) for name in service.names])


@router.get("/models/{model:path}", summary="One model or alias")
def retrieve_model(
    model: Annotated[str, Path(description="Its id, which may hold a slash, or an alias.")],
    service: Serving,
) -> Model:
    """What is known of one: the model itself has `about`, an alias has `root`."""
    service.check_model(model)
    return _model(model, service)


@router.get("/audio/voices", summary="All voices")
def list_voices() -> VoiceList:
    """What requests may say as `voice`: all names mean the one voice that there is."""
    return VoiceList(data=[Voice(id=name, name=name.capitalize()) for name in VOICES])


def _model(name: str, service: Service) -> Model:
    own = service.engine.capabilities.model
    about = _about(service.engine.capabilities) if name == own else None
    return Model(id=name, created=service.started, root=None if name == own else own, about=about)


def _about(capabilities: Capabilities) -> About:
    return About(
        label=capabilities.label,
        card=capabilities.card,
        device=capabilities.device,
        parameters=capabilities.parameters,
        sample_rate=capabilities.sample_rate,
        languages=list(capabilities.languages),
        slots=capabilities.slots,
        tasks=capabilities.tasks.values(),
    )
