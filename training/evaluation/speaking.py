"""How well a checkpoint reads aloud: a listener writes down what it says, and for comparison what
the original voice says.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from kimi_demo.audio import Audio
from kimi_demo.events import Answer
from training import domain, domain_zh, measures
from training.evaluation import new_words, voices
from training.evaluation.bench import Bench, Ear, sound_of
from training.evaluation.voices import Voice

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spoken:
    """One sentence, said by the checkpoint. heard: by the listener."""

    text: str
    answer: Answer
    heard: str

    @property
    def audio(self) -> Audio:
        return sound_of(self.answer)


def speech_en(bench: Bench) -> dict[str, object]:
    """Held-out English sentences through the independent recogniser."""
    texts = domain.SENTENCES.read_held_out()
    return evaluate_speech(bench, texts, "en", bench.listener("en"), voices.original("en"))


def speech_zh(bench: Bench) -> dict[str, object]:
    """Held-out Mandarin sentences through the checkpoint's own transcription."""
    texts = domain_zh.SENTENCES.read_held_out()
    return evaluate_speech(bench, texts, "zh", bench.listener("zh"), voices.original("zh"))


def speech_new_words(bench: Bench) -> dict[str, object]:
    """Words that were never trained on, through the checkpoint's own transcription."""
    texts = new_words.read()
    return evaluate_speech(
        bench, texts, "en", bench.own_ear("en"), voices.original("en"), "new-words"
    )


def evaluate_speech(
    bench: Bench,
    texts: Sequence[str],
    language: str,
    listener: Ear,
    original: Voice | None,
    folder: str = "",
) -> dict[str, object]:
    """Error rates of the first sentences, beside those of the original voice; lengths and pace.

    folder: of kept sounds; by default the language.
    """
    texts = texts[: bench.limit]
    bench.say(texts[0])  # the first request also pays for warming up
    spoken = []
    for n, text in enumerate(texts, 1):
        answer = bench.say(text)
        spoken.append(Spoken(text, answer, listener(sound_of(answer))))
        logger.info("said %d of %d: %s -> %s", n, len(texts), text, spoken[-1].heard)
    if bench.keep:
        _keep(spoken, bench.keep / (folder or language))
    return {
        **measures.error_rates(texts, [s.heard for s in spoken], language),
        **_beside_original(spoken, language, listener, original),
        **_soundness(spoken),
    }


def _soundness(spoken: Sequence[Spoken]) -> dict[str, object]:
    """What can be said of the sounds without knowing a word."""
    timings = [s.answer.finished.timings for s in spoken]
    clipped = max(measures.clipped_share(s.answer.waveform) for s in spoken)
    return {
        "clipped_share": round(clipped, 6),
        "unfinished_share": measures.share(s.answer.finished.reason != "stop" for s in spoken),
        "silent_share": measures.share(not len(s.answer.waveform) for s in spoken),
        "first_sound_s": measures.spread([t.first_audio_s for t in timings if t.first_audio_s]),
        "rtf": measures.spread([t.rtf for t in timings if t.rtf]),
    }


def _beside_original(
    spoken: Sequence[Spoken], language: str, listener: Ear, original: Voice | None
) -> dict[str, object]:
    """The same figures of the original voice, and lengths compared with it; null without it."""
    if original is None:
        rates = dict.fromkeys(measures.RATES[language])
        figures = {**_prefixed(rates), "length_ratio": None, "run_on_share": None}
        return {**figures, "note": "original voice not installed: not compared"}
    originals = [original(s.text) for s in spoken]
    heard = [listener(sound) for sound in originals]
    rates = measures.error_rates([s.text for s in spoken], heard, language)
    pairs = [(s.audio, o) for s, o in zip(spoken, originals, strict=True)]
    ratios = [audio.duration_s / o.duration_s for audio, o in pairs]
    return {
        **_prefixed({name: rates[name] for name in measures.RATES[language]}),
        "length_ratio": {"mean": round(fmean(ratios), 4), **(measures.spread(ratios) or {})},
        "run_on_share": measures.share(measures.runs_on(audio, o) for audio, o in pairs),
    }


def _prefixed(rates: dict) -> dict[str, object]:
    return {f"original_{name}": rate for name, rate in rates.items()}


def _keep(spoken: Sequence[Spoken], folder: Path) -> None:
    """Writes N.wav and heard.tsv, for the ear."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, s in enumerate(spoken, 1):
        (folder / f"{n}.wav").write_bytes(s.audio.wav())
    lines = [f"{n}\t{s.text}\t{s.heard}\n" for n, s in enumerate(spoken, 1)]
    (folder / "heard.tsv").write_text("".join(lines), encoding="utf-8")
