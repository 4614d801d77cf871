"""Kokoro's phone letters, and the pieces in which the language model says them.

A *unit* is a phone as it counts here: stress marks are dropped, and the tone arrow of a Mandarin
syllable belongs to the vowel before it. A *piece* is the string of units that begin within one step
of 80 ms: usually none, one or two. The rare pieces are not in the vocabulary; their last units are
said a step later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from training.shards import PUNCTUATION, UNIT_SAMPLES, Utterance

STRESS = frozenset("ˈˌ")
TONES = frozenset("→↗↘↓")
SILENT = "_"  # the piece of a step in which no unit begins
STEP_SAMPLES = 1920  # 80 ms at 24 kHz
LETTERS = (
    "ˈˌ→↗↘↓ .,;:!?…—abdefhijklmnopstuvwxzyæðŋɐɑɒɔɕəɚɛɜɡɥɨɪɬɯɲɹɻɾʁʂʃʊʌʒʔʣʤʥʦʧʨʰθᵊᵻꭧɤβχAIOQSTWYᵝʲː"
)
"""Letters of the frame labels; index 0 of a label means silence, letter i stands at i + 1."""


def units(utterance: Utterance) -> list[tuple[int, str]]:
    """(onset in units of 25 ms, unit) of everything that is voiced."""
    found: list[tuple[int, str]] = []
    for onset, phone in zip(utterance.onsets, utterance.phones, strict=False):
        if phone in TONES and found:
            found[-1] = (found[-1][0], found[-1][1] + phone)
        elif phone not in STRESS and phone not in PUNCTUATION and phone not in TONES:
            found.append((onset, phone))
    return found


def steps_of(utterance: Utterance) -> int:
    """Steps of 80 ms that the utterance lasts."""
    return -(-utterance.samples // STEP_SAMPLES)


def rows_of_units(utterance: Utterance) -> list[list[str]]:
    """The units that begin in each step."""
    rows: list[list[str]] = [[] for _ in range(steps_of(utterance))]
    for onset, unit in units(utterance):
        step = onset * UNIT_SAMPLES // STEP_SAMPLES
        rows[min(step, len(rows) - 1)].append(unit)
    return rows


def count_pieces(utterances: Iterable[Utterance]) -> Counter[str]:
    """How often each piece occurs."""
    return Counter("".join(row) for u in utterances for row in rows_of_units(u))


def choose_pieces(counts: Counter[str], singles: Iterable[str], size: int) -> list[str]:
    """The silent piece, every single unit, and the most frequent others, `size` in all."""
    chosen = dict.fromkeys([SILENT, *sorted(singles)])
    for piece, _ in counts.most_common():
        if len(chosen) >= size:
            break
        if piece:
            chosen.setdefault(piece)
    return list(chosen)


class PieceSpeller:
    """Steps of an utterance as indices into a list of pieces."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._index = {piece: i for i, piece in enumerate(pieces)}

    def __call__(self, utterance: Utterance) -> list[int]:
        """One index a step; what does not fit into a known piece moves one step on."""
        said, waiting = [], []
        for row in rows_of_units(utterance):
            waiting += row
            count = next(
                (
                    n
                    for n in range(min(3, len(waiting)), 0, -1)
                    if "".join(waiting[:n]) in self._index
                ),
                0,
            )
            said.append(self._index["".join(waiting[:count]) or SILENT])
            waiting = waiting[count:]
        return said


def frame_letters(utterance: Utterance, frames: int, frame_samples: int) -> list[int]:
    """The letter spoken at the middle of each frame: 0 for silence, else its place in LETTERS + 1.

    A stress mark's time belongs to the phone behind it.
    """
    labels = [0] * frames
    index = {letter: i + 1 for i, letter in enumerate(LETTERS)}
    stress = None
    for i, phone in enumerate(utterance.phones):
        begin = utterance.onsets[i] if stress is None else stress
        if phone in STRESS:
            stress = begin
            continue
        stress = None
        label = 0 if phone in PUNCTUATION else index.get(phone, 0)
        first = -(-(begin * UNIT_SAMPLES - frame_samples // 2) // frame_samples)
        last = -(-(utterance.onsets[i + 1] * UNIT_SAMPLES - frame_samples // 2) // frame_samples)
        for frame in range(max(0, first), min(frames, last)):
            labels[frame] = label
    return labels
