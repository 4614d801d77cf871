"""Writes a checkpoint in the layout of the release, for code that reads no other.

What the release has and a checkpoint of ours may lack: weight norm in pairs, rotary tables, the
sinusoids of Whisper, averages of the codebook, keys of configurations, pickles for the detokenizer.
The speech tokenizer, which the release keeps in another repository, lies in `speech_tokenizer/`.
Source: github.com/MoonshotAI/Kimi-Audio, and the release's own files.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import yaml
from torch import Tensor
from transformers import WhisperConfig

from kimi_demo.checkpoint.conversion import partial_folder
from kimi_demo.checkpoint.hub import RELEASE
from kimi_demo.checkpoint.layout import (
    ACOUSTIC_FOLDER,
    CONFIG,
    FLOW_CONFIG,
    FLOW_FOLDER,
    PICKLE,
    SPEECH_TOKENIZER_FOLDER,
    VOCODER_FOLDER,
    Layout,
)
from kimi_demo.checkpoint.loading import ENCODER_PREFIX, POSITIONS, ROTARY, learned_tensors
from kimi_demo.checkpoint.writing import write
from kimi_demo.errors import CheckpointError
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.activations import kaiser_sinc
from kimi_demo.model.detokenizer.config import read_yaml
from kimi_demo.model.detokenizer.loading import FLOW_PREFIX, VOCODER_PREFIX, flow_tensors
from kimi_demo.model.detokenizer.vocoder import Vocoder, split_weight_norm
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.files import INDEX
from kimi_demo.model.tensors import StoredTensor, empty_modules, stored_in
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.whisper import sinusoids

SHARDS = 36  # of the language model
_CODE = "modeling_moonshot_kimia.MoonshotKimiaForCausalLM"
_DIT = {  # keys whose defaults in the reference are not the release's values
    "ffn_gated_glu": False,
    "ffn_act_layer": "gleu_tanh",
    "ffn_conv_kernel_size": 5,
}


def publish(layout: Layout, destination: Path, report: Callable[[str], None]) -> None:
    """Writes all of the checkpoint. Values stay as they are stored, the vocoder's become float32.

    Raises: CheckpointError if the destination holds anything, or has no room.
    """
    if destination.exists() and any(destination.iterdir()):
        raise CheckpointError(f"{destination} is not empty: choose another folder")
    folders = vars(layout).values()
    files = {file for folder in folders for file in folder.rglob("*.safetensors")}
    with partial_folder(destination, sum(file.stat().st_size for file in files)) as partial:
        for part, write_part in _PARTS.items():
            report(f"writing {part or 'the language model'}")
            write_part(layout, partial / part)
        destination.mkdir(parents=True, exist_ok=True)
        for path in partial.iterdir():
            os.replace(path, destination / path.name)


def _write_language_model(layout: Layout, folder: Path) -> None:
    _copy_descriptions(layout.root, folder)
    config = LanguageModelConfig.from_json(layout.root / CONFIG)
    tensors = _read(learned_tensors(layout.root))
    exponents = torch.arange(0, config.head_size, 2) / config.head_size
    table = (config.rope_theta**-exponents).to(tensors["lm_head.weight"].dtype)
    for stack, depth in (("layers", config.num_layers), ("mimo_layers", config.num_audio_layers)):
        for n in range(depth):
            tensors[f"model.{stack}.{n}.self_attn.{ROTARY}"] = table.clone()
    write(tensors, folder, sum(tensor.nbytes for tensor in tensors.values()) // SHARDS + 1)
    values = json.loads((layout.root / CONFIG).read_text(encoding="utf-8"))
    published = _published_keys(config, TextTokenizer.load(layout.root)) | values
    (folder / CONFIG).write_text(json.dumps(published, indent=1) + "\n", encoding="utf-8")


def _published_keys(config: LanguageModelConfig, text: TextTokenizer) -> dict[str, object]:
    """Of config.json, beside the sizes. The code is named in the release's own repository."""
    ids = text.special_ids
    return {
        "architectures": [_CODE.partition(".")[2]],
        "auto_map": {"AutoModelForCausalLM": f"{RELEASE}--{_CODE}"},
        "bos_token_id": ids["[BOS]"],
        "eos_token_ids": [ids["[EOS]"], ids["<|im_msg_end|>"]],
        "initializer_range": 0.02,
        "kimia_audio_output_vocab": config.vocabulary_size - config.audio_token_offset,
        "kimia_text_output_vocab": config.audio_token_offset,
        "model_type": "kimi_audio",
        "num_audio_special_tokens": 0,
        "num_base_tokens": text.base_tokens,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_whisper_feature": True,
    }


def _write_acoustic_encoder(layout: Layout, folder: Path) -> None:
    source = layout.acoustic_encoder
    _copy_descriptions(source, folder)
    positions = {f"{ENCODER_PREFIX}{POSITIONS}": _positions(source)}
    write(positions | _read(stored_in(source)), folder, sys.maxsize)


def _write_speech_tokenizer(layout: Layout, folder: Path) -> None:
    """With what training left in the released file; nothing of it decides about ids."""
    source = layout.speech_tokenizer
    _copy_descriptions(source, folder)
    positions, tensors = _positions(source), _read(stored_in(source))
    codes = tensors["codebook.weight"]
    pooled = WhisperConfig.from_pretrained(source).pooling_kernel_size
    left = {
        POSITIONS: positions,
        "embed_positions2.weight": positions[: len(positions) // pooled].clone(),
        "ema_count": torch.ones(len(codes)),
        "ema_weight": codes.clone(),
    }
    write(left | tensors, folder, sys.maxsize)


def _write_flow(layout: Layout, folder: Path) -> None:
    folder.mkdir()
    tensors = _read(flow_tensors(layout.flow))
    state = {f"{FLOW_PREFIX}{name}": tensor for name, tensor in tensors.items()}
    torch.save({"state_dict": state}, folder / PICKLE)
    values = read_yaml(layout.flow / FLOW_CONFIG)
    dit = {**_DIT, **values["model"]["dit"]}
    text = yaml.safe_dump({**values, "model": {**values["model"], "dit": dit}}, sort_keys=False)
    (folder / FLOW_CONFIG).write_text(text, encoding="utf-8")


def _write_vocoder(layout: Layout, folder: Path) -> None:
    _copy_descriptions(layout.vocoder, folder)
    config = VocoderConfig.from_json(layout.vocoder / CONFIG)
    with empty_modules():
        names = Vocoder(config, weight_norm=True).published_tensors()
    stored = _read(stored_in(layout.vocoder, VOCODER_PREFIX))
    given = split_weight_norm({name: tensor.float() for name, tensor in stored.items()}, names)
    filters = {name: kaiser_sinc().view(1, 1, -1) for name in names if name.endswith("filter")}
    torch.save({"generator": filters | given}, folder / PICKLE)


_PARTS: Mapping[str, Callable[[Layout, Path], None]] = {
    "": _write_language_model,
    ACOUSTIC_FOLDER: _write_acoustic_encoder,
    SPEECH_TOKENIZER_FOLDER: _write_speech_tokenizer,
    FLOW_FOLDER: _write_flow,
    VOCODER_FOLDER: _write_vocoder,
}


def _copy_descriptions(source: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.suffix not in (".safetensors", ".pt") and file.name != INDEX:
            shutil.copyfile(file, folder / file.name)


def _positions(folder: Path) -> Tensor:
    """Whisper's sinusoids, (positions, width)."""
    config = WhisperConfig.from_pretrained(folder)
    return sinusoids(config.max_source_positions, config.d_model)


def _read(stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    return {name: tensor.read() for name, tensor in stored.items()}
