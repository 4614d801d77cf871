"""Smart Turn: how complete a turn sounds. An extra: its model lies in the package `pipecat-ai`."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from kimi_demo.audio import INPUT_SAMPLE_RATE
from kimi_demo.errors import InputError
from kimi_demo.realtime.turns import TurnJudge
from kimi_demo.wire.realtime import SemanticVad, ServerVad

PACKAGE = "pipecat"
HEARD_S = 8
MISSING = (
    "semantic_vad needs a package more: python -m pip install --no-deps 'pipecat-ai>=1.14'; "
    "or use server_vad"
)


def judge_for(turns: ServerVad | SemanticVad | None) -> TurnJudge | None:
    """The judge that this kind of detection needs, if it needs one.

    Raises: InputError if its model is not installed.
    """
    return _smart_turn() if isinstance(turns, SemanticVad) else None


@cache
def _smart_turn() -> TurnJudge:
    package = find_spec(PACKAGE)
    found = (
        sorted(Path(package.origin or "").parent.rglob("smart-turn-v3*.onnx")) if package else []
    )
    if not found:
        raise InputError(MISSING, "session.audio.input.turn_detection.type", "unsupported")
    return SmartTurn(found[-1])


class SmartTurn:
    """The last eight seconds as Whisper's log-mel, then one probability."""

    def __init__(self, model: Path) -> None:
        from transformers import WhisperFeatureExtractor  # only where it is used

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._features = WhisperFeatureExtractor(chunk_length=HEARD_S)

    def __call__(self, sound: np.ndarray) -> float:
        """See `TurnJudge`."""
        most = HEARD_S * INPUT_SAMPLE_RATE
        heard = np.pad(sound[-most:], (max(0, most - len(sound)), 0))
        mel = self._features(
            heard, sampling_rate=INPUT_SAMPLE_RATE, return_tensors="np", do_normalize=True
        )["input_features"].astype(np.float32)
        return float(np.asarray(self._model.run(None, {"input_features": mel})[0]).reshape(-1)[0])
