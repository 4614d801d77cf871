"""Fills the model's parts from a checkpoint, each on the device that the placement gives it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from kimi_demo.checkpoint.about import Description
from kimi_demo.checkpoint.layout import CONFIG, Layout
from kimi_demo.checkpoint.placement import (
    OFFLOADED,
    DeviceMap,
    Place,
    Placement,
    Quantization,
    as_device,
    execution_device,
    main_device,
    place_of,
    unsplit_modules,
)
from kimi_demo.checkpoint.quantization import check_quantizable, quantize, scheme
from kimi_demo.errors import CheckpointError
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.loading import load_detokenizer
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.language_model import LanguageModel, Places
from kimi_demo.model.linear import pack_linears
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from kimi_demo.model.tensors import (
    StoredTensor,
    TensorSource,
    fill,
    require_same_layout,
    stored_in,
)
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.model.whisper import sinusoids
from kimi_demo.tasks import TaskTable

logger = logging.getLogger(__name__)

SLOW_VALUES = 10**9  # a model of more takes long enough to make people wonder
POSITIONS = "embed_positions.weight"
ROTARY = "rotary_emb.inv_freq"  # stored by the release, computed here
ENCODER_PREFIX = "model.encoder."


@dataclass
class Checkpoint:
    about: Description
    tasks: TaskTable
    text_tokenizer: TextTokenizer
    vocabulary: Vocabulary
    speech_tokenizer: SpeechTokenizer
    acoustic_encoder: AcousticEncoder
    language_model: LanguageModel
    detokenizer: StreamingDetokenizer

    @property
    def device(self) -> torch.device:
        """Where the language model begins."""
        return self.language_model.device

    @property
    def parameters(self) -> int:
        parts: tuple[nn.Module, ...] = (
            self.speech_tokenizer.encoder,
            self.acoustic_encoder.encoder,
            self.language_model,
            self.detokenizer.flow,
            self.detokenizer.vocoder,
        )
        return sum(p.numel() for part in parts for p in part.parameters())


def load(
    layout: Layout,
    placement: Placement,
    tensors: TensorSource = stored_in,
    prepare: bool = True,
) -> Checkpoint:
    """Loads every part.

    tensors: where the values come from; those of the layout's files unless others are wanted.
    prepare: lays weights out for inference, after which the parts compute faster, but their own
        tensors are empty.
    Raises: CheckpointError naming the file if one is missing or does not fit.
    """
    config = LanguageModelConfig.from_json(layout.root / CONFIG)
    text_tokenizer = TextTokenizer.load(layout.root)
    vocabulary = Vocabulary.from_names(
        text_tokenizer.special_ids, config.audio_token_offset, config.pad
    )
    language_model = load_language_model(
        layout.root,
        config,
        placement.language_model,
        placement.dtype,
        placement.quantization,
        tensors,
    )
    checkpoint = Checkpoint(
        about=Description.read(layout.root),
        tasks=TaskTable.load(layout.root / "tasks.json"),
        text_tokenizer=text_tokenizer,
        vocabulary=vocabulary,
        speech_tokenizer=load_speech_tokenizer(
            layout.speech_tokenizer, placement.speech_tokenizer, tensors
        ),
        acoustic_encoder=load_acoustic_encoder(
            layout.acoustic_encoder, placement.acoustic_encoder, placement.dtype, tensors
        ),
        language_model=language_model,
        detokenizer=load_detokenizer(
            layout.flow, layout.vocoder, placement.detokenizer, placement.dtype, tensors
        ),
    )
    if prepare:
        _prepare(checkpoint, placement.quantization)
    return checkpoint


def _prepare(checkpoint: Checkpoint, quantization: Quantization | None) -> None:
    """See `load`. Layers that are quantised or spread over devices stay as they are."""
    model = checkpoint.language_model
    if not quantization and model.model.places is None:
        model.fuse(*_drawn_ids(model.config, checkpoint.vocabulary))
    pack_linears(checkpoint.detokenizer.flow.blocks)
    pack_linears(checkpoint.speech_tokenizer.encoder.layers)
    pack_linears(checkpoint.acoustic_encoder.encoder.layers)


def load_language_model(
    folder: Path,
    config: LanguageModelConfig,
    device: torch.device | DeviceMap,
    dtype: torch.dtype,
    quantization: Quantization | None = None,
    tensors: TensorSource = stored_in,
) -> LanguageModel:
    """The language model from one file or from the shards of an index.

    device: of the whole model, or a map of accelerate's kind. What the map puts on "disk" stays in
        the checkpoint's own files and is read when it computes.
    Every layer is quantised as soon as it is read, so that the full-size weights of one layer exist
    at a time.
    Raises: CheckpointError, before anything is read, if the files do not fit or it cannot be done.
    """
    device_map = device if isinstance(device, Mapping) else {"": str(device)}
    entry = execution_device(device_map, "model.embed_tokens")
    model, stored = LanguageModel.empty(config, entry), learned_tensors(folder, tensors)
    if {*device_map} != {""}:  # accelerate knows no rule with exceptions
        device_map = {name: place_of(device_map, name) for name in unsplit_modules(model)}
    require_same_layout(model.state_dict(), stored, folder)
    _check_quantizable(device_map, dtype, quantization)
    progress = _Progress(sum(tensor.numel() for tensor in model.parameters()))
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            _fill_module(module, name, stored, place_of(device_map, name), dtype)
            progress.add(sum(tensor.numel() for tensor in own))
            kind = scheme(config, quantization, name)
            if kind:
                quantize(module, kind)
    model.eval().requires_grad_(False)
    if len(device_map) > 1 or "disk" in device_map.values():
        _spread(model, device_map, stored, dtype)
    return model


def _drawn_ids(config: LanguageModelConfig, vocabulary: Vocabulary) -> tuple[range, range]:
    """What the text stream can hold, and the audio stream: control ids that end it, and codes."""
    first = min(vocabulary.msg_end, vocabulary.media_end, vocabulary.text_blank)
    return range(config.audio_token_offset), range(first, config.vocabulary_size)


class _Progress:
    """Says in the log whenever another tenth of a large model is in its place."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._tenths = total, 0, 0

    def add(self, values: int) -> None:
        self._done += values
        tenths = 10 * self._done // self._total
        if tenths > self._tenths and self._total >= SLOW_VALUES:
            logger.info("language model: %d %% loaded", 10 * tenths)
        self._tenths = tenths


def _check_quantizable(
    device_map: DeviceMap, dtype: torch.dtype, quantization: Quantization | None
) -> None:
    if not quantization:
        return
    computing = main_device(device_map)
    check_quantizable(quantization, computing, dtype)
    if any(place in OFFLOADED and str(place) != computing.type for place in device_map.values()):
        raise CheckpointError(
            f"{quantization} layers cannot be offloaded: drop --offload or --quantize"
        )


def _fill_module(
    module: nn.Module,
    name: str,
    stored: Mapping[str, StoredTensor],
    place: Place,
    dtype: torch.dtype,
) -> None:
    """The module's own tensors, without those of its children; on disk only their kind is noted."""
    for own, empty in list(module.named_parameters(recurse=False)):
        if place == "disk":
            value = torch.empty_like(empty, dtype=dtype)
        else:
            value = stored[f"{name}.{own}"].read(as_device(place)).to(dtype)
        module.register_parameter(own, nn.Parameter(value, requires_grad=False))


def _spread(
    model: LanguageModel,
    device_map: DeviceMap,
    stored: Mapping[str, StoredTensor],
    dtype: torch.dtype,
) -> None:
    """Lets accelerate move states to where the next module is, and offloaded weights to and fro."""
    from accelerate import dispatch_model

    on_disk = {
        name: {
            "safetensors_file": str(tensor.file),
            "weight_name": tensor.name,
            "dtype": str(dtype).removeprefix("torch."),
        }
        for name, tensor in stored.items()
        if place_of(device_map, name) == "disk"
    }
    main = main_device(device_map)
    accelerator = main.index if main.type == "cuda" else str(main)
    dispatch_model(model, dict(device_map), accelerator, offload_index=on_disk or None)
    model.model.places = Places(
        execution_device(device_map, "model.embed_tokens"),
        tuple(
            execution_device(device_map, f"model.{stack}.{index}")
            for stack, layers in (
                ("layers", model.model.layers),
                ("mimo_layers", model.model.mimo_layers),
            )
            for index in range(len(layers))
        ),
    )


def learned_tensors(folder: Path, tensors: TensorSource = stored_in) -> dict[str, StoredTensor]:
    """Of the language model, without the tables that the release stores and a formula gives."""
    stored = tensors(folder, "")
    return {name: tensor for name, tensor in stored.items() if not name.endswith(ROTARY)}


def load_speech_tokenizer(
    folder: Path, device: torch.device, tensors: TensorSource = stored_in
) -> SpeechTokenizer:
    """The half of its encoder that is used, and its codebook."""
    tokenizer = SpeechTokenizer.build(folder)
    stored = speech_tokenizer_tensors(folder, tokenizer.encoder, tensors)
    _fill_encoder(tokenizer.encoder, stored, folder, device, torch.float32)
    return tokenizer


def speech_tokenizer_tensors(
    folder: Path, encoder: nn.Module, tensors: TensorSource = stored_in
) -> dict[str, StoredTensor]:
    """Of the layers that `encoder` has; the release's file holds more."""
    used = encoder.state_dict()
    return {name: tensor for name, tensor in tensors(folder, "").items() if name in used}


def load_acoustic_encoder(
    folder: Path, device: torch.device, dtype: torch.dtype, tensors: TensorSource = stored_in
) -> AcousticEncoder:
    acoustic = AcousticEncoder.build(folder)
    stored = acoustic_encoder_tensors(folder, tensors)
    _fill_encoder(acoustic.encoder, stored, folder, device, dtype)
    return acoustic


def acoustic_encoder_tensors(
    folder: Path, tensors: TensorSource = stored_in
) -> dict[str, StoredTensor]:
    """Those of the encoder; the decoder's in the same file are not read."""
    return {
        name.removeprefix(ENCODER_PREFIX): tensor
        for name, tensor in tensors(folder, "").items()
        if name.startswith(ENCODER_PREFIX)
    }


def _fill_encoder(
    encoder: nn.Module,
    stored: Mapping[str, StoredTensor],
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Whisper's sinusoids may be missing from the file; they are a formula, nothing learned."""
    fixed = {}
    if POSITIONS not in stored:
        fixed[POSITIONS] = sinusoids(*encoder.get_parameter(POSITIONS).shape)
    fill(encoder, stored, folder, device, dtype, fixed)
    encoder.eval().requires_grad_(False)
