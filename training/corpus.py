"""The spoken corpus of the embedded model: made by the synthesisers, kept in shards, read by index.

A shard is a folder `<root>/<voice>/<NNN>/` of about half an hour of speech:

    audio.npy     (T,) int16, 16 kHz, all utterances one after the other; can be memory-mapped
    index.jsonl   one utterance a line: text, voice, start_sample, num_samples,
                  phones as [[name, end in ms from the utterance's start], ...]

Every shard is drawn from its own generator, seeded by (seed, voice, shard number), and appears
under its name only when it is complete: an interrupted run goes on where it stopped. The texts,
speakers and settings of a shard are always the same, and so is flite's audio; espeak-ng carries its
sound generator's state from one sentence to the next, so its samples may differ in the noise.

Axis letters: T time, in samples.
"""

import argparse
import json
import logging
import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from training import domain, domain_zh
from training.synthesizers import (
    FLITE_VOICES,
    MANDARIN_VOICE,
    SAMPLE_RATE_HZ,
    EspeakSynthesizer,
    FliteSynthesizer,
    Utterance,
)

logger = logging.getLogger(__name__)

SHARD_HOURS = 0.5
HELD_OUT_PREFIX = "heldout-"
FLITE_STRETCH = 1.2
ESPEAK = "espeak-en"
MANDARIN = "mandarin"  # one speaker: the Mandarin output voice
ESPEAK_MANDARIN = "espeak-zh"
# (rate, pitch) of the Mandarin output voice.
MANDARIN_SETTING = (130, 50)
# Half men, half women: espeak-ng's plain voices and its variants of formants.
ESPEAK_VOICES = (
    *("en-us", "en-us+m2", "en-us+m3", "en-us+m7"),
    *("en-us+f1", "en-us+f2", "en-us+f3", "en-us+f4"),
)
ESPEAK_RATE_WPM = (120, 170)
ESPEAK_PITCH = (30, 70)
_VARIANTS = ("", "+m2", "+m3", "+m7", "+f1", "+f2", "+f3", "+f4")
MANDARIN_VOICES = tuple(MANDARIN_VOICE + variant for variant in _VARIANTS)
VOICES = (*FLITE_VOICES, ESPEAK, MANDARIN, ESPEAK_MANDARIN)
PHONETIC_SHARE = 0.25  # of the Mandarin output voice: any characters, for syllables in all tones
# (voice, rate, pitch): every held-out sentence is spoken once with each.
ESPEAK_HELD_OUT = (("en-us", 150, 50), ("en-us+f3", 135, 55), ("en-us+m3", 160, 40))
MANDARIN_HELD_OUT = (
    (MANDARIN_VOICE, 150, 50),
    (f"{MANDARIN_VOICE}+f3", 135, 55),
    (f"{MANDARIN_VOICE}+m3", 160, 40),
)


@dataclass(frozen=True)
class CorpusItem:
    """One utterance. waveform: (T,) int16, 16 kHz, a view of its shard. phones: (name, end_ms).

    events, emotion, tasks: as in `Utterance`.
    """

    text: str
    voice: str
    waveform: np.ndarray
    phones: tuple[tuple[str, int], ...]
    events: tuple[tuple[str, int, int], ...] = ()
    emotion: str | None = None
    tasks: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class VoiceSpec:
    """How much of a voice to make. name: a flite voice, `mandarin`, or one of many speakers."""

    name: str
    hours: float

    def __post_init__(self) -> None:
        if self.name not in VOICES:
            known = ", ".join(VOICES)
            raise ValueError(f"there is no voice {self.name!r}; there are {known}")
        if self.hours <= 0:
            raise ValueError(f"voice {self.name}: hours must be positive, not {self.hours}")


@dataclass(frozen=True)
class _ShardJob:
    """One shard to make. sentences: what to say, or None to draw until `hours` are reached."""

    folder: Path
    voice: str
    hours: float
    seed: str
    sentences: tuple[str, ...] | None = None


# ---- making -------------------------------------------------------------------------------------


@cache
def _flite(voice: str) -> FliteSynthesizer:
    return FliteSynthesizer(voice)


@cache
def _espeak() -> EspeakSynthesizer:
    return EspeakSynthesizer()


def language_of(voice: str) -> str:
    """The language that a voice of the corpus speaks."""
    return "zh" if voice in (MANDARIN, ESPEAK_MANDARIN) else "en"


def speak(voice: str, text: str, rng: random.Random) -> Utterance:
    """One sentence; voices of many speakers draw speaker, rate and pitch from the generator."""
    if voice in FLITE_VOICES:
        return _flite(voice)(text, FLITE_STRETCH)
    if voice == MANDARIN:
        return _espeak()(text, MANDARIN_VOICE, *MANDARIN_SETTING)
    rate_wpm, pitch = rng.randint(*ESPEAK_RATE_WPM), rng.randint(*ESPEAK_PITCH)
    speakers = ESPEAK_VOICES if voice == ESPEAK else MANDARIN_VOICES
    return _espeak()(text, rng.choice(speakers), rate_wpm, pitch)


def _training_sentence(voice: str, rng: random.Random) -> str:
    if language_of(voice) == "en":
        return domain.SENTENCES.draw_for_training(rng)
    if voice == MANDARIN and rng.random() < PHONETIC_SHARE:
        return phonetic_sentence(rng)
    return domain_zh.SENTENCES.draw_for_training(rng)


@cache
def _common_characters() -> tuple[str, ...]:
    """The 3755 characters of GB 2312's first level."""
    rows = range(0xB0, 0xD8)
    pairs = (bytes([row, cell]) for row in rows for cell in range(0xA1, 0xFF))
    decoded = (pair.decode("gb2312", "ignore") for pair in pairs)
    return tuple(character for character in decoded if character)


def phonetic_sentence(rng: random.Random) -> str:
    """4 to 14 common characters in any order, well beyond the domain."""
    return "".join(rng.choices(_common_characters(), k=rng.randint(4, 14))) + "。"


def _drawn(job: _ShardJob) -> Iterator[Utterance]:
    """Training sentences until the shard is full."""
    rng, spoken_samples = random.Random(job.seed), 0
    while spoken_samples < job.hours * 3600 * SAMPLE_RATE_HZ:
        utterance = speak(job.voice, _training_sentence(job.voice, rng), rng)
        spoken_samples += len(utterance.waveform)
        yield utterance


def _held_out(job: _ShardJob) -> Iterator[Utterance]:
    """The job's sentences, each in every fixed setting of the voice."""
    settings = {ESPEAK: ESPEAK_HELD_OUT, ESPEAK_MANDARIN: MANDARIN_HELD_OUT}.get(job.voice)
    for text in job.sentences or ():
        if settings is None:
            yield speak(job.voice, text, random.Random(text))
            continue
        for voice, rate_wpm, pitch in settings:
            yield _espeak()(text, voice, rate_wpm, pitch)


def _make_shard(job: _ShardJob) -> tuple[Path, int, float]:
    """Returns the shard's folder, its number of utterances and its hours."""
    utterances = _drawn(job) if job.sentences is None else _held_out(job)
    count, samples = write_shard(job.folder, job.folder.parent.name, utterances)
    if job.voice not in FLITE_VOICES and _espeak().unmapped:
        logger.warning("phones espeak has and we do not: %s", dict(_espeak().unmapped))
    return job.folder, count, samples / SAMPLE_RATE_HZ / 3600


def write_shard(folder: Path, voice: str, utterances: Iterable[Utterance]) -> tuple[int, int]:
    """Write one shard; it takes its name when it is complete.

    Returns: the number of utterances and of samples.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    waveforms, lines, start = [], [], 0
    for utterance in utterances:
        waveforms.append(utterance.waveform)
        lines.append(_index_line(utterance, voice, start))
        start += len(utterance.waveform)
    np.save(partial / "audio.npy", np.concatenate([np.zeros(0, np.int16), *waveforms]))
    (partial / "index.jsonl").write_text("".join(lines), encoding="utf-8")
    partial.rename(folder)
    return len(lines), start


def _index_line(utterance: Utterance, voice: str, start: int) -> str:
    entry = {
        "text": utterance.text,
        "voice": voice,
        "start_sample": start,
        "num_samples": len(utterance.waveform),
        "phones": [[phone.name, round(phone.end_s * 1000)] for phone in utterance.phones],
    }
    known = {
        "events": utterance.events,
        "emotion": utterance.emotion,
        "tasks": utterance.tasks,
    }
    entry |= {name: value for name, value in known.items() if value}
    return json.dumps(entry, ensure_ascii=False) + "\n"


def shard_jobs(out_dir: Path, specs: Sequence[VoiceSpec], seed: int) -> list[_ShardJob]:
    """The held-out shards first, then the training shards, the voices taking turns."""
    held_out = {
        "en": tuple(domain.SENTENCES.read_held_out()),
        "zh": tuple(domain_zh.SENTENCES.read_held_out()),
    }
    jobs = [
        _ShardJob(
            out_dir / f"{HELD_OUT_PREFIX}{spec.name}" / "000",
            spec.name,
            0,
            "",
            held_out[language_of(spec.name)],
        )
        for spec in specs
    ]
    numbered = []
    for spec in specs:
        for number in range(max(1, round(spec.hours / SHARD_HOURS))):
            folder = out_dir / spec.name / f"{number:03d}"
            hours = min(SHARD_HOURS, spec.hours)
            job = _ShardJob(folder, spec.name, hours, f"{seed}/{spec.name}/{number}")
            numbered.append((number, job))
    return jobs + [job for _, job in sorted(numbered, key=lambda pair: pair[0])]


def generate(
    out_dir: Path,
    specs: Sequence[VoiceSpec],
    seed: int = 1,
    workers: int = 2,
    report: Callable[[str], None] = logger.info,
) -> None:
    """Make every shard that is not there yet.

    Raises: SynthesizerUnavailableError if a synthesiser is not installed.
    """
    jobs = [job for job in shard_jobs(out_dir, specs, seed) if not job.folder.exists()]
    started_s, made_hours = time.monotonic(), 0.0
    report(f"{len(jobs)} shards to make in {out_dir}")
    # Fresh processes: the synthesisers keep global state that must not be shared by a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for folder, count, hours in pool.imap_unordered(_make_shard, jobs):
            made_hours += hours
            elapsed_s = time.monotonic() - started_s
            name = f"{folder.parent.name}/{folder.name}"
            report(f"{name}: {count} utterances; {made_hours:.2f} h made in {elapsed_s:.0f} s")


# ---- reading ------------------------------------------------------------------------------------


class Corpus(Sequence[CorpusItem]):
    """Random access to the utterances of a corpus; the audio stays on the disk until it is touched.

    voices: the folders to read; by default every voice but the held-out ones.
    `lengths`: (N,) int64, samples of each utterance, for putting like lengths together.
    Raises: FileNotFoundError if a voice, or the whole corpus, is not there.
    """

    def __init__(self, root: Path | str, voices: Sequence[str] | None = None) -> None:
        self._shards: list[np.ndarray] = []
        self._entries: list[tuple[int, dict]] = []
        for folder in _shard_folders(Path(root), voices):
            self._shards.append(np.load(folder / "audio.npy", mmap_mode="r"))
            with (folder / "index.jsonl").open(encoding="utf-8") as lines:
                self._entries += [(len(self._shards) - 1, json.loads(line)) for line in lines]
        self.lengths = np.array([e["num_samples"] for _, e in self._entries], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> CorpusItem:
        shard, entry = self._entries[index]
        start = entry["start_sample"]
        waveform = self._shards[shard][start : start + entry["num_samples"]]
        phones, events, tasks = (
            tuple(map(tuple, entry.get(name, ()))) for name in ("phones", "events", "tasks")
        )
        return CorpusItem(
            entry["text"], entry["voice"], waveform, phones, events, entry.get("emotion"), tasks
        )

    def text(self, index: int) -> str:
        """What utterance `index` says, without touching its audio."""
        return self._entries[index][1]["text"]

    def hours(self) -> float:
        return float(self.lengths.sum()) / SAMPLE_RATE_HZ / 3600


def _shard_folders(root: Path, voices: Sequence[str] | None) -> list[Path]:
    if voices is None:
        found = sorted(path.name for path in root.glob("*") if path.is_dir())
        voices = [name for name in found if not name.startswith(HELD_OUT_PREFIX)]
    folders = []
    for voice in voices:
        shards = sorted(path for path in (root / voice).glob("*") if path.name.isdigit())
        if not shards:
            raise FileNotFoundError(f"{root} has no shards of voice {voice!r}; generate them first")
        folders += shards
    if not folders:
        raise FileNotFoundError(f"{root} has no corpus; generate it first")
    return folders


# What a full corpus holds of each voice. rms is left for evaluation: nothing is trained on it.
DEFAULT_HOURS = {
    **{"slt": 9.0, ESPEAK: 2.5, MANDARIN: 3.0, ESPEAK_MANDARIN: 1.0},
    **{"awb": 0.5, "kal": 0.5},
}

# ---- command line -------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train corpus`."""
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    for voice, hours in DEFAULT_HOURS.items():
        parser.add_argument(f"--hours-{voice}", type=float, default=hours)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))


def run(args: argparse.Namespace) -> None:
    """Generate the corpus and say what it holds."""
    hours = {voice: getattr(args, f"hours_{voice}".replace("-", "_")) for voice in DEFAULT_HOURS}
    asked = tuple(VoiceSpec(voice, amount) for voice, amount in hours.items() if amount > 0)
    generate(args.out, asked, args.seed, args.workers)
    for spec in asked:
        corpus = Corpus(args.out, [spec.name])
        phones: Counter[str] = Counter(name for item in corpus for name, _ in item.phones)
        logger.info(
            "%s: %.2f h, %d utterances, %d phones of %d kinds",
            *(spec.name, corpus.hours(), len(corpus), phones.total(), len(phones)),
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description="Generate the spoken corpus.")
    add_arguments(parser)
    run(parser.parse_args())
