"""Decides where each part of the model lies, before anything large is loaded or downloaded.

Encoders and detokenizer go to the first GPU that has room for them. The language model goes whole
to one GPU, the last that has room; if none has, accelerate spreads its layers over all. With
`offload`, if that does not fit, the encoders compute on the CPU and layers beyond the GPUs' memory
wait in main memory or on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import psutil
import torch
from torch import nn

from kimi_demo.checkpoint.parts import EmptyParts, num_values
from kimi_demo.checkpoint.placement import (
    GIB,
    OFFLOADED,
    DeviceMap,
    Place,
    Placement,
    PlanRow,
    Quantization,
    as_device,
    layers_of,
    main_place,
    place_name,
    place_of,
)
from kimi_demo.checkpoint.quantization import scheme, stored_bytes
from kimi_demo.errors import CheckpointError
from kimi_demo.model.language_model import LanguageModel

Memory = Mapping[Place, int]  # bytes that each GPU, and "cpu", may hold in all
Offload = Literal["cpu", "disk"]  # "disk": to main memory first

TOKENIZER, ENCODER, DETOKENIZER = "speech tokenizer", "acoustic encoder", "flow and vocoder"
# Beside the weights. Both are upper bounds, so that a plan that fits does not fail while it runs.
RUNTIME_BYTES = GIB // 2  # of each GPU: the driver's context, kernels, fragmentation
SPEECH_WORKING_BYTES = GIB // 4  # of each speech part: activations of a window or chunk, its cache


@dataclass(frozen=True)
class Precision:
    """How weights are stored. quantization: of the language model's linear layers."""

    dtype: torch.dtype = torch.bfloat16
    quantization: Quantization | None = None


def plan(
    parts: EmptyParts,
    memory: Memory,
    precision: Precision = Precision(),
    offload: Offload | None = None,
    slots: int = 1,
) -> Placement:
    """Where everything goes, with the memory plan as its rows.

    memory: without any GPU in it the model computes on the CPU. slots: of the cache, one for each
        answer that is made at once.
    Raises: CheckpointError that says what would fit, if this does not.
    """
    memory = {"cpu": free_memory("cpu")["cpu"], **memory}
    found = _placement(_Needs.of(parts, precision, memory, slots), memory, offload)
    if found is None:
        raise CheckpointError(_misfit(parts, memory, precision, offload, slots))
    return found


def free_memory(device: str = "auto") -> dict[Place, int]:
    """Free bytes of main memory and of each GPU; of one GPU, or of none, if a device is named."""
    chosen = None if device == "auto" else torch.device(device)
    gpus: dict[Place, int] = {
        index: torch.cuda.mem_get_info(index)[0]
        for index in range(torch.cuda.device_count())
        if chosen is None or (chosen.type == "cuda" and (chosen.index or 0) == index)
    }
    return gpus | {"cpu": psutil.virtual_memory().available}


@dataclass(frozen=True)
class _Needs:
    """Bytes of everything. model: on the meta device, its tensors as large as they will be stored.

    cache: keys and values of one layer, of all slots. working: activations wherever layers compute.
    speech: weights of each speech part.
    """

    precision: Precision
    model: LanguageModel
    cache: int
    working: int
    speech: Mapping[str, int]

    @classmethod
    def of(cls, parts: EmptyParts, precision: Precision, memory: Memory, slots: int) -> _Needs:
        config, size = parts.language_model.config, precision.dtype.itemsize
        # Of a prompt that fills all positions: states, the feed-forward part's products, the mask
        # (as bool and added); if quantised, the largest weight unpacked for its product.
        rows = config.max_positions * (6 * config.hidden_size + 3 * config.intermediate_size)
        unpacked = config.vocabulary_size * config.hidden_size if precision.quantization else 0
        detokenizer = num_values(parts.flow) + num_values(parts.vocoder)
        return cls(
            precision,
            _as_stored(LanguageModel.empty(config), precision, _gpus(memory) != {}),
            2 * slots * config.num_kv_heads * config.max_positions * config.head_size * size,
            (rows + unpacked) * size + config.max_positions**2 * (1 + size),
            {
                TOKENIZER: num_values(parts.speech_tokenizer) * torch.float32.itemsize,
                ENCODER: num_values(parts.acoustic_encoder) * size,
                DETOKENIZER: detokenizer * size,
            },
        )

    def language_model(self) -> int:
        weights = sum(tensor.nbytes for tensor in self.model.parameters())
        return weights + self.cache * self.model.config.num_cached_layers

    def speech_parts(self, *names: str) -> int:
        return sum(self.speech[name] + SPEECH_WORKING_BYTES for name in names)


def _as_stored(model: LanguageModel, precision: Precision, on_gpu: bool) -> LanguageModel:
    model.to(precision.dtype)
    for name, module in model.named_modules():
        if kind := scheme(model.config, precision.quantization, name):
            size = stored_bytes(module.weight, kind, precision.dtype, on_gpu)
            stored = torch.empty(size, dtype=torch.uint8, device="meta")
            module.weight = nn.Parameter(stored, requires_grad=False)
    return model


def _gpus(memory: Memory) -> dict[Place, int]:
    """Bytes for the model on each, in their order."""
    return {at: memory[at] - RUNTIME_BYTES for at in sorted(memory.keys() - {"cpu"})}


def _placement(needs: _Needs, memory: Memory, offload: Offload | None) -> Placement | None:
    """The first that fits, fastest first."""
    gpus = _gpus(memory)
    found = _spread(needs, gpus or {"cpu": memory["cpu"]}, {})
    if found or not offload:
        return found
    encoders: dict[str, Place] = {TOKENIZER: "cpu", ENCODER: "cpu"}
    left: Memory = {"cpu": memory["cpu"] - needs.speech_parts(*encoders)}
    waiting = {**left, "disk": 0} if offload == "disk" else left
    return _spread(needs, gpus or left, encoders, {} if needs.precision.quantization else waiting)


def _spread(
    needs: _Needs, room: Memory, speech: Mapping[str, Place], waiting: Memory | None = None
) -> Placement | None:
    """room: bytes of each device that computes. speech: places that are given already.

    waiting: bytes for layers where none computes, "disk" for as many as there are.
    """
    parts = [part for part in needs.speech if part not in speech]
    size = needs.speech_parts(*parts)
    own = next((at for at in room if room[at] >= size), None)
    if own is None:
        return None
    left = {at: room[at] - needs.working - (size if at == own else 0) for at in room}
    whole = next((at for at in reversed(left) if left[at] >= needs.language_model()), None)
    found = _by_accelerate(needs, left, waiting or {}) if whole is None else {"": whole}
    return _described(needs, found, {**dict.fromkeys(parts, own), **speech}) if found else None


def _by_accelerate(needs: _Needs, room: Memory, waiting: Memory) -> DeviceMap | None:
    """A layer's cache lies with the layer or, if that waits elsewhere, where it computes."""
    from accelerate import infer_auto_device_map

    layers, beside = layers_of(needs.model), 0
    for layer in layers.values():
        size = 0 if waiting else needs.cache
        layer.register_buffer("planned", torch.empty(size, dtype=torch.uint8, device="meta"))
    if waiting:
        beside = needs.cache * len(layers)
    device_map = infer_auto_device_map(
        needs.model,
        {**waiting, **{at: size - beside for at, size in room.items()}},
        no_split_module_classes=list({type(layer).__name__ for layer in layers.values()}),
        offload_buffers=True,
    )
    return device_map if {*device_map.values()} <= {*room, *waiting} else None


def _described(needs: _Needs, device_map: DeviceMap, speech: Mapping[str, Place]) -> Placement:
    return Placement(
        device_map,
        *(as_device(speech[part]) for part in (TOKENIZER, ENCODER, DETOKENIZER)),
        needs.precision.dtype,
        needs.precision.quantization,
        tuple(_rows(needs, device_map, speech)),
    )


def _rows(needs: _Needs, device_map: DeviceMap, speech: Mapping[str, Place]) -> Iterator[PlanRow]:
    """The memory plan: weights, then what is needed beside them."""
    weights, cache = Counter[Place](), Counter[Place]()
    for name, tensor in needs.model.named_parameters():
        weights[place_of(device_map, name)] += tensor.nbytes
    for name in layers_of(needs.model):
        at = place_of(device_map, name)
        cache[main_place(device_map) if at in OFFLOADED else at] += needs.cache
    working = Counter(dict.fromkeys(cache, needs.working))
    for place in speech.values():
        working[place] += SPEECH_WORKING_BYTES
    for place in working:
        working[place] += 0 if place in OFFLOADED else RUNTIME_BYTES
    yield from (PlanRow("language model", at, size) for at, size in weights.items())
    yield from (PlanRow(part, speech[part], size) for part, size in needs.speech.items())
    yield from (PlanRow("cache of keys and values", at, size) for at, size in cache.items())
    yield from (PlanRow("working memory", at, size) for at, size in working.items())


def _misfit(
    parts: EmptyParts, memory: Memory, precision: Precision, offload: Offload | None, slots: int
) -> str:
    """What is needed, what is there, and every option that would do."""
    needs = _Needs.of(parts, precision, memory, slots)
    gpus = _gpus(memory)
    total = needs.language_model() + needs.working + needs.speech_parts(*needs.speech)
    total += RUNTIME_BYTES if gpus else 0
    there = (f"{place_name(at)} with {memory[at] / GIB:.1f} GiB" for at in gpus or memory)
    kinds: tuple[Quantization, ...] = () if precision.quantization else get_args(Quantization)
    options = {
        f"--quantize {kind}": (replace(precision, quantization=kind), offload) for kind in kinds
    }
    options |= {f"--offload {to}": (precision, to) for to in get_args(Offload)}
    remedies = [
        option
        for option, (other, to) in options.items()
        if _placement(_Needs.of(parts, other, memory, slots), memory, to)
    ]
    stored = precision.quantization or str(precision.dtype).removeprefix("torch.")
    return (
        f"the model does not fit: in {stored} it needs {total / GIB:.1f} GiB, but there is "
        f"{' and '.join(there)}: use {' or '.join([*remedies, 'a larger --max-memory'])}"
    )
