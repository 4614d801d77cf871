"""Finds a checkpoint's folder and fills the model's parts from it, in the published layout:

config.json, model*.safetensors (+ index), tiktoken.model, tokenizer_config.json
whisper-large-v3/    config.json, model.safetensors
speech_tokenizer/    config.json, preprocessor_config.json, model.safetensors
audio_detokenizer/   config.yaml, model.safetensors
vocoder/             config.json, model.safetensors
tasks.json, checkpoint.json, CARD.md    optional: prompts of its own, and what it honestly is
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import sinusoids

from kimi_demo.errors import CheckpointError
from kimi_demo.model.acoustic_encoder import AcousticEncoder
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.loading import load_detokenizer
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.speech_tokenizer import SpeechTokenizer
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import TaskTable

EMBEDDED = "nano"
EMBEDDED_FOLDER = Path(__file__).parents[1] / "nano" / "weights"
ACOUSTIC_FOLDER = "whisper-large-v3"
SPEECH_TOKENIZER_FOLDER = "speech_tokenizer"
FLOW_FOLDER = "audio_detokenizer"
VOCODER_FOLDER = "vocoder"
POSITIONS = "embed_positions.weight"
_ROTARY = "rotary_emb.inv_freq"  # stored by the release, computed here


@dataclass(frozen=True)
class About:
    """What a checkpoint says of itself in checkpoint.json and, at length, in CARD.md."""

    name: str = "Kimi-Audio"
    label: str = "Kimi-Audio as released."
    languages: tuple[str, ...] = ("en", "zh")
    card: str = ""


@dataclass
class Checkpoint:
    """All parts of the model, filled and in their places."""

    about: About
    tasks: TaskTable
    text_tokenizer: TextTokenizer
    vocabulary: Vocabulary
    speech_tokenizer: SpeechTokenizer
    acoustic_encoder: AcousticEncoder
    language_model: LanguageModel
    detokenizer: StreamingDetokenizer
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def parameters(self) -> int:
        """Learned values of all parts."""
        parts: tuple[nn.Module, ...] = (
            self.speech_tokenizer.encoder,
            self.acoustic_encoder.encoder,
            self.language_model,
            self.detokenizer.flow,
            self.detokenizer.vocoder,
        )
        return sum(p.numel() for part in parts for p in part.parameters())


def find(model: str) -> Path:
    """The folder of `nano` or of a local checkpoint.

    Raises: CheckpointError if there is no such checkpoint.
    """
    folder = EMBEDDED_FOLDER if model == EMBEDDED else Path(model)
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"there is no checkpoint {model!r}: use nano, or a folder with a config.json"
        )
    return folder


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """Loads every part.

    dtype: of the language model, the acoustic encoder and the detokenizer; the speech tokenizer
    always computes in float32, since its ids hang on small differences.
    Raises: CheckpointError naming the file if one is missing or does not fit.
    """
    config = LanguageModelConfig.from_json(folder / "config.json")
    text_tokenizer = TextTokenizer.load(folder)
    return Checkpoint(
        about=_read_about(folder),
        tasks=TaskTable.load(folder / "tasks.json"),
        text_tokenizer=text_tokenizer,
        vocabulary=Vocabulary.from_names(
            text_tokenizer.special_ids, config.audio_token_offset, config.pad
        ),
        speech_tokenizer=_load_speech_tokenizer(folder / SPEECH_TOKENIZER_FOLDER, device),
        acoustic_encoder=_load_acoustic_encoder(folder / ACOUSTIC_FOLDER, device, dtype),
        language_model=load_language_model(folder, config, device, dtype),
        detokenizer=load_detokenizer(folder / FLOW_FOLDER, folder / VOCODER_FOLDER, device, dtype),
        device=device,
    )


def load_language_model(
    folder: Path, config: LanguageModelConfig, device: torch.device, dtype: torch.dtype
) -> LanguageModel:
    """The language model from one file or from the shards of an index."""
    model = LanguageModel(config)
    tensors: dict[str, Tensor] = {}
    for shard in _shards(folder):
        tensors |= read_tensors(shard)
    learned = {name: tensor for name, tensor in tensors.items() if not name.endswith(_ROTARY)}
    fill(model, learned, folder.name)
    return model.to(device, dtype).eval().requires_grad_(False)


def _load_speech_tokenizer(folder: Path, device: torch.device) -> SpeechTokenizer:
    tokenizer = SpeechTokenizer.build(_existing(folder))
    stored = read_tensors(folder / "model.safetensors")
    used = tokenizer.encoder.state_dict().keys()  # files hold more layers than are used
    kept = {name: tensor for name, tensor in stored.items() if name in used}
    fill(tokenizer.encoder, with_positions(kept, tokenizer.encoder), folder.name)
    tokenizer.encoder.to(device).requires_grad_(False)
    return tokenizer


def _load_acoustic_encoder(
    folder: Path, device: torch.device, dtype: torch.dtype
) -> AcousticEncoder:
    encoder = AcousticEncoder.build(_existing(folder))
    prefix = "model.encoder."
    stored = read_tensors(folder / "model.safetensors")
    kept = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
    fill(encoder.encoder, with_positions(kept, encoder.encoder), folder.name)
    encoder.encoder.to(device, dtype).requires_grad_(False)
    return encoder


def with_positions(tensors: Mapping[str, Tensor], encoder: nn.Module) -> dict[str, Tensor]:
    """Whisper's sinusoids where a file leaves them out; they are a formula, nothing learned."""
    table = encoder.get_parameter(POSITIONS)
    return {POSITIONS: sinusoids(*table.shape), **tensors}


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Fills a module; half precision in the file becomes the module's own.

    Raises: CheckpointError naming missing, surplus or misshapen tensors.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as exc:
        reasons = " ".join(str(exc).split())
        raise CheckpointError(
            f"{where}: the weights do not fit the configuration: {reasons}"
        ) from exc


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises: CheckpointError if the file is missing or broken.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as exc:
        raise CheckpointError(
            f"{path.parent.name}/{path.name} is missing or broken: {exc}"
        ) from exc


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted(set(files))]


def _existing(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"the checkpoint lacks {folder.name}/config.json")
    return folder


def _read_about(folder: Path) -> About:
    card_path = folder / "CARD.md"
    card = card_path.read_text(encoding="utf-8") if card_path.exists() else ""
    path = folder / "checkpoint.json"
    if not path.exists():
        return About(card=card)
    values = json.loads(path.read_text(encoding="utf-8"))
    return About(values["name"], values["label"], tuple(values["languages"]), card)
