"""Golden data of the reference: any folder of this format, chosen by KIMI_PARITY_DIR."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    chosen = os.environ.get("KIMI_PARITY_DIR")
    return Path(chosen) if chosen else Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def read_json(parity_dir):
    return lambda name: json.loads((parity_dir / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def read_tensors(parity_dir):
    """Weights are stored in 16 bits and were used in float32."""

    def read(name):
        tensors = load_file(parity_dir / name)
        return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}

    return read


@pytest.fixture(scope="session")
def read_waveform(parity_dir):
    def read(name) -> np.ndarray:
        waveform, rate = soundfile.read(parity_dir / "audio" / name, dtype="float32")
        assert rate == 16_000
        return waveform

    return read
