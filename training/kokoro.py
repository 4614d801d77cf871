"""Kokoro-82M, the voice to learn from: text to phones, phones to their lengths and to sound.

The ONNX model has, beside its waveform, the predicted length of every phone; the part of the graph
up to there alone is two hundred times faster than real time.
"""

from __future__ import annotations

import json
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime

MODEL = "kokoro.onnx"
LENGTHS_TENSOR = "/encoder/Clip_output_0"
MAX_PHONES = 500
STYLE_WIDTH = 256


class Kokoro:
    """The model and its voices out of one folder: kokoro.onnx, vocab.json, voices/*.bin.

    A voice is a name (`af_heart`) or a mixture of two (`af_heart+0.25*am_michael`).
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._folder, self._threads = Path(folder), threads
        self._ids: dict[str, int] = json.loads((self._folder / "vocab.json").read_text())["vocab"]

    def phones(self, text: str, language: str) -> str:
        """What is said, in Kokoro's letters; letters that it does not know are left out."""
        phones = _english(text) if language == "en" else _mandarin(text)
        return "".join(phone for phone in phones if phone in self._ids)[:MAX_PHONES]

    def lengths(self, phones: str, voice: str, speed: float = 1.0) -> list[int]:
        """Length of each phone in units of 25 ms, and of the silence at both ends."""
        (lengths,) = self._timing.run(None, self._inputs(phones, voice, speed))
        return [int(length) for length in lengths.ravel()]

    def speak(self, phones: str, voice: str, speed: float = 1.0) -> tuple[np.ndarray, list[int]]:
        """(N,) int16 at 24 kHz, and the lengths; their sum times 600 is N."""
        waveform, lengths = self._speech.run(None, self._inputs(phones, voice, speed))
        samples = (np.clip(waveform.ravel(), -1, 1) * 32767).astype(np.int16)
        return samples, [int(length) for length in lengths.ravel()]

    def voices(self) -> list[str]:
        """Names of all voices; the first letter is the language or accent, the second f or m."""
        return sorted(path.stem for path in (self._folder / "voices").glob("*.bin"))

    def _inputs(self, phones: str, voice: str, speed: float) -> dict[str, np.ndarray]:
        ids = [self._ids[phone] for phone in phones]
        return {
            "tokens": np.array([[0, *ids, 0]]),
            "style": self._style(voice, len(ids))[None],
            "speed": np.array([speed], np.float32),
        }

    def _style(self, voice: str, phones: int) -> np.ndarray:
        """(256,) for an utterance of so many phones."""
        first, _, rest = voice.partition("+")
        style = self._styles(first)[phones]
        if rest:
            share, _, second = rest.partition("*")
            style = (1 - float(share)) * style + float(share) * self._styles(second)[phones]
        return style.astype(np.float32)

    @cache  # noqa: B019 - lives as long as its command
    def _styles(self, voice: str) -> np.ndarray:
        path = self._folder / "voices" / f"{voice}.bin"
        return np.fromfile(path, np.float32).reshape(-1, STYLE_WIDTH)

    @cached_property
    def _speech(self) -> onnxruntime.InferenceSession:
        """The whole graph, with the lengths as a second output."""
        return self._session(self._with_lengths())

    @cached_property
    def _timing(self) -> onnxruntime.InferenceSession:
        """The graph up to the lengths."""
        path = self._folder / "kokoro_lengths.onnx"
        if not path.exists():
            whole = self._folder / "kokoro_with_lengths.onnx"
            onnx.save(self._with_lengths(), whole)
            inputs = ["tokens", "style", "speed"]
            onnx.utils.extract_model(whole, path, inputs, [LENGTHS_TENSOR], check_model=False)
        return self._session(onnx.load(path))

    def _with_lengths(self) -> onnx.ModelProto:
        model = onnx.load(self._folder / MODEL)
        lengths = onnx.helper.make_tensor_value_info(LENGTHS_TENSOR, onnx.TensorProto.FLOAT, None)
        model.graph.output.append(lengths)
        return model

    def _session(self, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


@cache
def _english_reader():
    from misaki.espeak import EspeakFallback

    return EspeakFallback(british=False)


def _english(text: str) -> str:
    """espeak-ng through misaki, on the whole sentence: words sound as they do in context."""
    return _english_reader()(SimpleNamespace(text=text))[0]


@cache
def _mandarin_reader():
    from misaki.zh import ZHG2P

    return ZHG2P()


def _mandarin(text: str) -> str:
    read = _mandarin_reader()(text)
    return read[0] if isinstance(read, tuple) else read
