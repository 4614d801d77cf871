"""Plans, before anything is loaded, which part of the model lies on which device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import torch

from kimi_demo.checkpoint.arranging import Arrangement, arrange
from kimi_demo.checkpoint.placement import (
    GIB,
    OFFLOADED,
    Place,
    Placement,
    Quantization,
    Row,
    as_device,
    place_name,
)
from kimi_demo.checkpoint.sizing import (
    DETOKENIZER,
    ENCODER,
    RUNTIME_BYTES,
    SPEECH_WORKING_BYTES,
    TOGETHER,
    TOKENIZER,
    Offload,
    Parts,
    Wish,
    stretches,
    with_working,
)
from kimi_demo.errors import CheckpointError

Memory = Mapping[Place, int | str]  # place to bytes, or to a text such as "22GiB"

_CARDS_GIB = (12, 16, 24, 32, 40, 48, 80, 96, 141)  # sizes that GPUs are sold in


def plan(
    parts: Parts,
    *,
    max_memory: Memory | None = None,
    dtype: torch.dtype = torch.bfloat16,
    quantization: Quantization | None = None,
    offload: Offload | None = None,
    positions: int | None = None,
) -> Placement:
    """Where everything goes, with the memory plan as its rows.

    max_memory: what each GPU ("cpu": main memory) may hold in all; None asks the machine. Without
        any GPU in it the model computes on the CPU.
    positions: of the cache for keys and values; None is the model's limit.
    Raises: CheckpointError that says what would fit, if this does not.
    """
    memory = _in_bytes(free_memory() if max_memory is None else max_memory)
    if offload and "cpu" not in memory:
        memory["cpu"] = _main_memory()
    wish = Wish(
        parts,
        dtype,
        quantization,
        offload,
        positions or parts.language_model.max_positions,
        any(isinstance(place, int) for place in memory),
    )
    found = arrange(wish, memory)
    if found is None:
        raise CheckpointError(_what_would_fit(wish, memory))
    return _placement(wish, found)


def free_memory(device: str = "auto") -> dict[Place, int]:
    """Free bytes of main memory and of each GPU; of one GPU, or of none, if a device is named."""
    chosen = None if device == "auto" else torch.device(device)
    gpus: dict[Place, int] = {
        index: torch.cuda.mem_get_info(index)[0]
        for index in range(torch.cuda.device_count())
        if chosen is None or (chosen.type == "cuda" and (chosen.index or 0) == index)
    }
    return gpus | {"cpu": _main_memory()}


def _main_memory() -> int:
    import psutil

    return psutil.virtual_memory().available


def _in_bytes(memory: Memory) -> dict[Place, int]:
    """GPUs in their order, then "cpu"."""
    for place in memory:
        if not (isinstance(place, int) or place == "cpu"):
            raise CheckpointError(f"there is no memory {place!r}: give numbers of GPUs, or cpu")
    sizes = {place: _bytes_of(size) for place, size in memory.items()}
    return dict(sorted(sizes.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _bytes_of(size: int | str) -> int:
    if isinstance(size, int):
        return size
    from accelerate.utils.modeling import convert_file_size_to_int

    try:
        return convert_file_size_to_int(size)
    except ValueError as exc:
        raise CheckpointError(f"{size!r} is no size of memory: write it like 22GiB") from exc


def _placement(wish: Wish, found: Arrangement) -> Placement:
    places = set(found.blocks.values())
    device_map: dict[str, Place] = dict(found.blocks)
    device_map |= {name: found.blocks[block] for name, block in TOGETHER.items()}
    if len(places) == 1:
        device_map = {"": str(as_device(places.pop()))}
    return Placement(
        device_map,
        as_device(found.speech[TOKENIZER]),
        as_device(found.speech[ENCODER]),
        as_device(found.speech[DETOKENIZER]),
        wish.dtype,
        wish.quantization,
        tuple(_rows(wish, found)),
    )


def _rows(wish: Wish, found: Arrangement) -> Iterator[Row]:
    """The memory plan: weights by group and place, then what is needed beside them."""
    config, weights = wish.parts.language_model, wish.weights()
    start, text, audio = stretches(config)
    groups = {
        "embedding and adaptor": start[:1],
        "trunk layers": start[1:],
        "text branch layers": text[:-1],
        "text head": text[-1:],
        "audio branch layers": audio[:-1],
        "audio head": audio[-1:],
    }
    for group, names in groups.items():
        for place in dict.fromkeys(found.blocks[name] for name in names):
            here = [name for name in names if found.blocks[name] == place]
            yield Row(_titled(group, here), place, sum(weights[name] for name in here))
    for part, size in wish.speech().items():
        yield Row(part, found.speech[part], size)
    yield from _rows_beside_weights(wish, found)


def _titled(group: str, here: Sequence[str]) -> str:
    """With the numbers of the layers that lie on this device."""
    if "layers" not in group:
        return group
    first, last = (name.rpartition(".")[2] for name in (here[0], here[-1]))
    return f"{group} {first}-{last}" if first != last else f"{group} {first}"


def _rows_beside_weights(wish: Wish, found: Arrangement) -> Iterator[Row]:
    main = next((at for at in found.blocks.values() if at not in OFFLOADED), "cpu")
    computes = {name: main if at in OFFLOADED else at for name, at in found.blocks.items()}
    layers = [at for name, at in computes.items() if "layers." in name]
    for place in dict.fromkeys(layers):
        yield Row("cache of keys and values", place, wish.cache() * layers.count(place))
    for place in dict.fromkeys([*computes.values(), *found.speech.values()]):
        speech = SPEECH_WORKING_BYTES * list(found.speech.values()).count(place)
        working = wish.working() if place in computes.values() else 0
        runtime = RUNTIME_BYTES if isinstance(place, int) else 0
        yield Row("working memory", place, speech + working + runtime)


def _what_would_fit(wish: Wish, memory: Mapping[Place, int]) -> str:
    """One sentence: what is needed, what is there, and every remedy that a plan confirms."""
    there = " and ".join(
        f"{place_name(at)} with {size / GIB:.1f} GiB"
        for at, size in memory.items()
        if isinstance(at, int) == wish.on_gpu
    )
    precision = wish.quantization or str(wish.dtype).removeprefix("torch.")
    remedies = [*_remedies(wish, memory), *_fitting_cards(wish)]
    return (
        f"the model does not fit: in {precision} it needs {_needed(wish) / GIB:.1f} GiB, but there "
        f"is {there or 'no memory'}: use {' or '.join(remedies)}"
    )


def _needed(wish: Wish) -> int:
    """Bytes on a single device."""
    weights = sum(wish.weights().values()) + sum(with_working(wish.speech()).values())
    cache = wish.cache() * wish.parts.language_model.num_cached_layers
    return weights + cache + wish.working() + (RUNTIME_BYTES if wish.on_gpu else 0)


def _remedies(wish: Wish, memory: Mapping[Place, int]) -> Iterator[str]:
    if not wish.quantization:
        kinds = [
            kind
            for kind in get_args(Quantization)
            if arrange(replace(wish, quantization=kind, offload=None), memory)
        ]
        if kinds:
            yield f"--quantize {' or '.join(kinds)}"
    if wish.on_gpu and not wish.offload:
        with_cpu = {"cpu": _main_memory(), **memory}
        if arrange(replace(wish, offload="cpu"), with_cpu):
            yield "--offload cpu"
            return
    if wish.offload != "disk" and not wish.quantization:
        with_cpu = {"cpu": _main_memory(), **memory}
        if arrange(replace(wish, offload="disk"), with_cpu):
            yield "--offload disk"


def _fitting_cards(wish: Wish) -> Iterator[str]:
    """The smallest kind of GPU of which one, or two, hold everything."""
    on_gpu = replace(wish, on_gpu=True, offload=None)
    for count, words in ((1, "one GPU"), (2, "two GPUs")):
        for size in _CARDS_GIB:
            if arrange(on_gpu, dict.fromkeys(range(count), size * GIB)):
                yield f"{words} of {size} GiB"
                break
