"""The published layout of a checkpoint, and where the parts of one lie.

config.json, weights, tiktoken.model, tokenizer_config.json
whisper-large-v3/    config.json, weights; preprocessor_config.json if not large-v3's
speech_tokenizer/    config.json, preprocessor_config.json, weights
audio_detokenizer/   config.yaml, weights or, as released, model.pt
vocoder/             config.json, weights or, as released, model.pt
tasks.json, checkpoint.json, CARD.md    optional: prompts of its own, and what it honestly is

Weights are model.safetensors, or shards model-*.safetensors and model.safetensors.index.json.

The release keeps the speech tokenizer in a repository of its own: a local copy of that may lie
beside the checkpoint's folder under its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kimi_demo.errors import CheckpointError
from kimi_demo.model.files import files_in

CONFIG = "config.json"
TEXT_TOKENIZER = "tiktoken.model"
ACOUSTIC_FOLDER = "whisper-large-v3"
SPEECH_TOKENIZER_FOLDER = "speech_tokenizer"
SPEECH_TOKENIZER_SIBLING = "glm-4-voice-tokenizer"
FLOW_FOLDER = "audio_detokenizer"
FLOW_CONFIG = "config.yaml"
VOCODER_FOLDER = "vocoder"
PICKLE = "model.pt"


@dataclass(frozen=True)
class Layout:
    """The folders of one checkpoint's parts. root: language model, text tokenizer, descriptions.

    flow, vocoder: hold either safetensors or a `model.pt` that is still to be converted.
    """

    root: Path
    acoustic_encoder: Path
    speech_tokenizer: Path
    flow: Path
    vocoder: Path

    @classmethod
    def of(cls, root: Path, speech_tokenizer: Path | None = None) -> Layout:
        """The layout of a folder.

        speech_tokenizer: its folder, if it lies neither in the checkpoint nor beside it.
        Raises: CheckpointError naming the first file that is not there.
        """
        layout = cls(
            root,
            root / ACOUSTIC_FOLDER,
            speech_tokenizer or _speech_tokenizer(root),
            root / FLOW_FOLDER,
            root / VOCODER_FOLDER,
        )
        missing = layout.missing()
        if missing:
            more = f" and {len(missing) - 1} more files are" if missing[1:] else " is"
            raise CheckpointError(
                f"the checkpoint {root.name} is incomplete: {_short(missing[0])}{more} missing; "
                "fetch what is missing, or give the checkpoint's name instead of its folder"
            )
        return layout

    def missing(self) -> list[Path]:
        needed = [self.root / CONFIG, self.root / TEXT_TOKENIZER, *files_in(self.root)]
        for folder in (self.acoustic_encoder, self.speech_tokenizer):
            needed += [folder / CONFIG, *files_in(folder)]
        needed += [self.flow / FLOW_CONFIG, self.vocoder / CONFIG]
        for folder in self.detokenizer:
            needed += [] if (folder / PICKLE).is_file() else files_in(folder)
        return [path for path in needed if not path.is_file()]

    @property
    def detokenizer(self) -> tuple[Path, Path]:
        """The folders whose weights are released as pickles."""
        return self.flow, self.vocoder

    @property
    def unconverted(self) -> list[Path]:
        """Folders that hold their weights as a pickle alone."""
        return [folder for folder in self.detokenizer if not has_safetensors(folder)]


def has_safetensors(folder: Path) -> bool:
    return all(path.is_file() for path in files_in(folder))


def _speech_tokenizer(root: Path) -> Path:
    sibling = root.parent / SPEECH_TOKENIZER_SIBLING
    inside = root / SPEECH_TOKENIZER_FOLDER
    return sibling if not inside.is_dir() and sibling.is_dir() else inside


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
