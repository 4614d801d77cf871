"""Finds places for the blocks of the model: the first arrangement that fits, fastest first.

1. speech parts (encoders, flow, vocoder) on a GPU of their own, the language model on the others;
2. everything on as few GPUs as possible, shared;
3. if offload is allowed: encoders computed on the CPU;
4. if offload is allowed: layers of the language model kept in main memory, then on disk.

The blocks are listed in the order of computation and accelerate fills the devices in that order.
The audio branch leaves the trunk before its last layers and may stand before or after them: the
order with fewer moves of hidden states between devices is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from kimi_demo.checkpoint.placement import OFFLOADED, Place
from kimi_demo.checkpoint.sizing import (
    DETOKENIZER,
    ENCODERS,
    RUNTIME_BYTES,
    Wish,
    stretches,
    with_working,
)
from kimi_demo.model.config import LanguageModelConfig


@dataclass(frozen=True)
class Arrangement:
    """Block of the language model or speech part -> place."""

    blocks: Mapping[str, Place]
    speech: Mapping[str, Place]


def arrange(wish: Wish, memory: Mapping[Place, int]) -> Arrangement | None:
    """memory: bytes of each GPU and of "cpu". Returns: None if nothing that is allowed fits."""
    arrangements = _on_gpus(wish, memory) if wish.on_gpu else _on_cpu(wish, memory)
    return next(arrangements, None)


def crossings(blocks: Mapping[str, Place], config: LanguageModelConfig) -> int:
    """How often a step moves hidden states from one device to another."""
    main = next((place for place in blocks.values() if place not in OFFLOADED), "cpu")
    computes = {name: main if at in OFFLOADED else at for name, at in blocks.items()}
    start, text, audio = stretches(config)
    chains = [*pairwise(start + text), *pairwise([start[-1], *audio])]
    return sum(computes[a] != computes[b] for a, b in chains)


def _on_gpus(wish: Wish, memory: Mapping[Place, int]) -> Iterator[Arrangement]:
    room = {at: size - RUNTIME_BYTES for at, size in memory.items() if isinstance(at, int)}
    speech = with_working(wish.speech())
    if len(room) > 1:
        yield from _apart(wish, room, speech)
    yield from _shared(wish, room, speech, {})
    if not wish.offload:
        return
    encoders = {name: speech[name] for name in ENCODERS}
    if sum(encoders.values()) <= memory["cpu"]:
        on_cpu: dict[str, Place] = dict.fromkeys(encoders, "cpu")
        left = {name: size for name, size in speech.items() if name not in encoders}
        yield from _shared(wish, room, left, on_cpu)
        if not wish.quantization:
            room_on_cpu = memory["cpu"] - sum(encoders.values())
            yield from _offloaded(wish, room, room_on_cpu, left[DETOKENIZER], on_cpu)


def _on_cpu(wish: Wish, memory: Mapping[Place, int]) -> Iterator[Arrangement]:
    speech = with_working(wish.speech())
    at: dict[str, Place] = dict.fromkeys(speech, "cpu")
    room = {"cpu": memory.get("cpu", 0) - sum(speech.values()) - wish.working()}
    found = _fill(wish, room)
    if not found and wish.offload == "disk" and not wish.quantization:
        found = _fill(wish, {**room, "disk": 0})
    if found:
        yield Arrangement(found, at)


def _apart(
    wish: Wish, room: Mapping[Place, int], speech: Mapping[str, int]
) -> Iterator[Arrangement]:
    """Speech parts on a GPU of their own, the last if it will do."""
    for own in reversed(room):
        if sum(speech.values()) > room[own]:
            continue
        others = {at: size - wish.working() for at, size in room.items() if at != own}
        found = _fill(wish, others)
        if found:
            yield Arrangement(found, dict.fromkeys(speech, own))


def _shared(
    wish: Wish,
    room: Mapping[Place, int],
    speech: Mapping[str, int],
    elsewhere: Mapping[str, Place],
) -> Iterator[Arrangement]:
    """Speech parts before and behind the language model, on whatever devices those are."""
    left = {at: size - wish.working() for at, size in room.items()}
    found = _fill(wish, left, speech)
    if found:
        at = {name: found.pop(name) for name in speech}
        yield Arrangement(found, {**elsewhere, **at})


def _offloaded(
    wish: Wish,
    room: Mapping[Place, int],
    room_on_cpu: int,
    detokenizer: int,
    elsewhere: Mapping[str, Place],
) -> Iterator[Arrangement]:
    """Layers beyond the GPUs' memory on the CPU or disk; they compute on the first GPU."""
    config = wish.parts.language_model
    for own in reversed(room):
        left = {at: size - wish.working() for at, size in room.items()}
        left[own] -= detokenizer
        left[next(iter(left))] -= wish.cache() * config.num_cached_layers  # of offloaded layers
        if min(left.values()) < 0:
            continue
        beyond = {"cpu": room_on_cpu} | ({"disk": 0} if wish.offload == "disk" else {})
        found = _fill(wish, left | beyond)
        if found:
            yield Arrangement(found, {**elsewhere, DETOKENIZER: own})


def _fill(
    wish: Wish, room: Mapping[Place, int], speech: Mapping[str, int] | None = None
) -> dict[str, Place] | None:
    """Block -> place, or None if it does not fit. On one device if one can hold everything.

    room: bytes for weights and caches. speech: further blocks, for any device.
    """
    config, cache = wish.parts.language_model, wish.cache()
    sizes = {
        name: size + (cache if "layers." in name else 0) for name, size in wish.weights().items()
    } | dict(speech or {})
    computing = [at for at in room if at not in OFFLOADED] or ["cpu"]
    for at in computing:
        if sum(sizes.values()) <= room[at]:
            return dict.fromkeys(sizes, at)
    if "disk" not in room and sum(sizes.values()) > sum(room.values()):
        return None
    found = [
        filled
        for order in _orders(config, list(speech or ()))
        for filled in _by_accelerate({name: sizes[name] for name in order}, room)
    ]

    def cost(blocks: Mapping[str, Place]) -> tuple[int, int]:
        moved = sum(sizes[name] for name, at in blocks.items() if at in OFFLOADED)
        return moved, crossings(blocks, config)

    return min(found, key=cost, default=None)


def _orders(config: LanguageModelConfig, speech: list[str]) -> Iterator[list[str]]:
    """Either branch first; the encoders before the language model or with the detokenizer."""
    start, text, audio = stretches(config)
    encoders = [part for part in speech if part in ENCODERS]
    for model in (start + text + audio, start + audio + text):
        yield model + speech
        if encoders:
            yield [*encoders, *model, *(part for part in speech if part not in encoders)]


def _by_accelerate(sizes: Mapping[str, int], room: Mapping[Place, int]) -> list[dict[str, Place]]:
    """The blocks in this order over the devices: each full before the next, and balanced."""
    offloads = any(at in OFFLOADED for at in room) and len(room) > 1
    largest = max(sizes.values())
    skeleton = _skeleton(sizes if offloads else {**sizes, "": largest})
    limits = {at: size for at, size in room.items() if at != "disk"}
    if not offloads:
        # accelerate keeps room on its first device to bring the largest offloaded block back.
        # Nothing will be: that room is given on top, and a last block ("") keeps it reserved.
        first = next(iter(limits))
        limits[first] += largest
    found = [
        {name: device_map[_key(name)] for name in sizes}
        for device_map in _device_maps(skeleton, limits, balanced=not offloads)
    ]
    return [blocks for blocks in found if all(at in room for at in blocks.values())]


def _device_maps(
    skeleton: nn.Module, limits: dict[Place, int], balanced: bool
) -> list[dict[str, Place]]:
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    log = logging.getLogger("accelerate.utils.modeling")
    log.disabled = True  # it warns of GPUs that are not here; a remedy may ask for some
    try:
        choices = [limits]
        if balanced:
            choices.append(get_balanced_memory(skeleton, dict(limits)))
        return [infer_auto_device_map(skeleton, dict(c), clean_result=False) for c in choices]
    finally:
        log.disabled = False


def _skeleton(sizes: Mapping[str, int]) -> nn.Module:
    """A childless module of so many bytes for each block, on the meta device."""
    skeleton = nn.Module()
    for name, size in sizes.items():
        block = nn.Module()
        values = torch.empty(size, dtype=torch.uint8, device="meta")
        block.weight = nn.Parameter(values, requires_grad=False)
        skeleton.add_module(_key(name), block)
    return skeleton


def _key(name: str) -> str:
    return name.replace(".", "/") or "room"
