"""`evaluate`: how well a checkpoint speaks and hears sentences of its domain that it never saw.

Speech is judged by an independent recogniser, beside the original voice. Hearing is judged on the
voices of the training material, made on the spot; without their libraries only speech is judged.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio, from_samples
from kimi_demo.cli.common import add_engine_arguments, add_json_argument, opened_engine
from kimi_demo.engine.base import Engine
from kimi_demo.events import Answer, collect
from kimi_demo.model import checkpoint
from kimi_demo.nano import measures
from kimi_demo.nano.corpus import ESPEAK_HELD_OUT, FLITE_STRETCH
from kimi_demo.nano.domain import read_held_out
from kimi_demo.nano.links import evaluate_links
from kimi_demo.nano.recognizer import Recognizer
from kimi_demo.nano.synthesizers import (
    EspeakSynthesizer,
    FliteSynthesizer,
    SynthesizerUnavailableError,
    Utterance,
)

logger = logging.getLogger(__name__)

Voice = Callable[[str], Audio]

ORIGINAL_VOICE = "slt"
LANGUAGE = "en"


@dataclass(frozen=True)
class Spoken:
    """One sentence, said by the checkpoint. heard: by the recogniser."""

    text: str
    answer: Answer
    heard: str

    @property
    def audio(self) -> Audio:
        return _sound(self.answer)


def _sound(answer: Answer) -> Audio:
    return Audio(answer.waveform, answer.sample_rate or OUTPUT_SAMPLE_RATE)  # 0: it was silent


def training_voices() -> dict[str, Voice]:
    """The voices to listen to, by name; those whose libraries are missing are left out."""
    voices: dict[str, Voice] = {}
    for make in (_original_voice, _espeak_voices):
        try:
            voices |= make()
        except SynthesizerUnavailableError as exc:
            logger.warning("some voices are left out: %s", exc)
    return voices


def _original_voice() -> dict[str, Voice]:
    synthesizer = FliteSynthesizer(ORIGINAL_VOICE)
    return {ORIGINAL_VOICE: lambda text: _audio(synthesizer(text, FLITE_STRETCH))}


def _espeak_voices() -> dict[str, Voice]:
    synthesizer = EspeakSynthesizer()

    def voice(name: str, rate_wpm: int, pitch: int) -> Voice:
        return lambda text: _audio(synthesizer(text, name, rate_wpm, pitch))

    return {f"espeak {settings[0]}": voice(*settings) for settings in ESPEAK_HELD_OUT}


def _audio(utterance: Utterance) -> Audio:
    return from_samples(utterance.waveform, utterance.sample_rate)


def evaluate_speech(
    engine: Engine, texts: Sequence[str], original: Voice | None, seed: int, keep: Path | None
) -> dict[str, object]:
    """Says every sentence and lets the recogniser write it down."""
    recognizer = Recognizer()
    _say(engine, texts[0], seed)  # the first request also pays for warming up
    spoken = []
    for n, text in enumerate(texts, 1):
        answer = _say(engine, text, seed)
        spoken.append(Spoken(text, answer, recognizer(_sound(answer))))
        logger.info("said %d of %d: %s -> %s", n, len(texts), text, spoken[-1].heard)
    if keep:
        _keep(spoken, keep)
    timings = [s.answer.finished.timings for s in spoken]
    return {
        **measures.error_rates(texts, [s.heard for s in spoken]),
        **_beside_original(spoken, original, recognizer),
        "clipped_share": round(max(measures.clipped_share(s.answer.waveform) for s in spoken), 6),
        "unfinished_share": _share(s.answer.finished.reason != "stop" for s in spoken),
        "silent_share": _share(not len(s.answer.waveform) for s in spoken),
        "first_sound_s": measures.spread([t.first_audio_s for t in timings if t.first_audio_s]),
        "rtf": measures.spread([t.rtf for t in timings if t.rtf]),
    }


def _say(engine: Engine, text: str, seed: int) -> Answer:
    return collect(engine.stream(engine.capabilities.tasks.speech(text, seed=seed)))


def _beside_original(
    spoken: Sequence[Spoken], original: Voice | None, recognizer: Recognizer
) -> dict[str, object]:
    """The same figures of the original voice, and lengths compared with it; null without it."""
    if original is None:
        names = ("original_wer", "original_cer", "length_ratio", "run_on_share")
        return {**dict.fromkeys(names), "note": "original voice not installed: not compared"}
    originals = [original(s.text) for s in spoken]
    rates = measures.error_rates([s.text for s in spoken], [recognizer(o) for o in originals])
    pairs = [(s.audio, o) for s, o in zip(spoken, originals, strict=True)]
    ratios = [audio.duration_s / o.duration_s for audio, o in pairs]
    return {
        "original_wer": rates["wer"],
        "original_cer": rates["cer"],
        "length_ratio": {"mean": round(fmean(ratios), 4), **(measures.spread(ratios) or {})},
        "run_on_share": _share(measures.runs_on(audio, o) for audio, o in pairs),
    }


def _share(flags: Iterable[bool]) -> float:
    return round(fmean(flags), 4)


def _keep(spoken: Sequence[Spoken], folder: Path) -> None:
    """Writes N.wav and heard.tsv, for the ear."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, s in enumerate(spoken, 1):
        (folder / f"{n}.wav").write_bytes(s.audio.wav())
    lines = [f"{n}\t{s.text}\t{s.heard}\n" for n, s in enumerate(spoken, 1)]
    (folder / "heard.tsv").write_text("".join(lines), encoding="utf-8")


def evaluate_hearing(
    engine: Engine, texts: Sequence[str], voices: Mapping[str, Voice]
) -> dict[str, object]:
    """Transcribes the sentences in every voice: error rates by voice."""
    results: dict[str, object] = {}
    for name, voice in voices.items():
        written = []
        for text in texts:
            request = engine.capabilities.tasks.transcription(voice(text), LANGUAGE)
            written.append(collect(engine.stream(request)).text)
            logger.info("heard in %s: %s -> %s", name, text, written[-1])
        results[name] = measures.error_rates(texts, written)
    return results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    add_engine_arguments(parser)
    add_json_argument(parser)
    parser.add_argument("--limit", type=int, default=60, help="sentences at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("speech", "hearing"), help="judge one side alone")
    parser.add_argument("--links", action="store_true", help="also judge every link of speech")
    parser.add_argument("--keep", type=Path, help="folder for the sounds and what was understood")


def run(args: argparse.Namespace) -> None:
    """Measures and prints."""
    with opened_engine(args) as engine:
        result = evaluate(engine, args)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


def evaluate(engine: Engine, args: argparse.Namespace) -> dict[str, object]:
    """Everything that the arguments ask for, as one object."""
    texts = read_held_out()[: max(1, args.limit)]
    voices = training_voices()
    result: dict[str, object] = {
        "model": engine.capabilities.model,
        "device": engine.capabilities.device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sentences": len(texts),
        "seed": args.seed,
    }
    if args.only != "hearing":
        original = voices.get(ORIGINAL_VOICE)
        result["speech"] = evaluate_speech(engine, texts, original, args.seed, args.keep)
    if args.only != "speech":
        result["hearing"] = evaluate_hearing(engine, texts, voices)
    if args.links and ORIGINAL_VOICE in voices:
        parts = checkpoint.load(checkpoint.find(args.model), torch.device("cpu"), torch.float32)
        result["links"] = evaluate_links(
            parts.speech_tokenizer, parts.detokenizer, texts, voices[ORIGINAL_VOICE], args.seed
        )
    return result
