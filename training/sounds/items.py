"""Sounds put together and recorded, alone, in a scene or in turn; and what is asked about them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from training.sounds import degrade
from training.sounds.moods import EMOTIONS, in_mood
from training.sounds.signals import add_at, at_peak, coloured, gain, generator_of, pick, samples
from training.sounds.sources import NAMES, SILENCE, SOUNDS, Sound, draw_sound
from training.sounds.voices import SPEECH, Voices
from training.sounds.words import Content, Task, tasks_of

EVENTS = tuple(dict.fromkeys(name.event for name in NAMES.values()))
LONGEST_S = 7.0
SHORTEST_S = 1.0

# Kind -> how often it is drawn.
KINDS = {
    **{"sound": 29, "scene": 13, "speech": 8, "emotion": 20},
    **{"count": 15, "in turn": 9, "together": 6},
}
_UNASKED = ("sheep", "horse", "pig", "chicken", "duck", "frog", "lion", "insect")
_UNASKED += ("vacuum cleaner", "hammer", "fireworks", "violin")
_UNASKED_WEIGHT = 0.6  # of sounds beyond those that the model is measured by

# A scene has one source of each of its first two groups, and often one of the third.
_RECIPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "street": (("engine",), ("siren", "dog", "footsteps"), ("siren", "footsteps", "rain")),
    "kitchen": (("running water",), ("clock", "knocking", "people"), ("clock", "people", "cat")),
    "forest": (("wind", "songbird"), ("songbird", "cuckoo", "owl"), ("rain", "footsteps", "crow")),
    "office": (("typing",), ("phone", "knocking", "people"), ("clock", "people")),
    "station": (("bell",), ("engine", "people"), ("footsteps", "people")),
    "concert": (("applause",), ("drums", "piano", "violin", "chord"), ("drums", "people")),
}
SCENES = tuple(_RECIPES)
_BACKGROUNDS = frozenset(
    {"engine", "running water", "wind", "rain", "applause", "vacuum cleaner", "cricket"}
)
_DISTINCT = tuple(name for name in SOUNDS if name not in (SILENCE, "white noise"))
_COUNTED = tuple(name for name in SOUNDS if NAMES[name].counted)


@dataclass(frozen=True)
class LabelledSound:
    """waveform: (T,) float32 in [-1, 1], 16 kHz, 1 to 9 s."""

    waveform: np.ndarray
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class _Mix:
    """waveform: (T,) float64 of any level; peak_db: the level it must be given, if any."""

    waveform: np.ndarray
    content: Content
    peak_db: float | None = None


def draw(
    rng: Generator | random.Random,
    kind: str | None = None,
    voices: Voices | None = None,
    apart: bool = False,
) -> LabelledSound:
    """One labelled sound of a kind in KINDS, of any kind by default.

    voices: without them nobody speaks. apart: for evaluation, with other sentences and wordings.
    Raises: ValueError for an unknown kind, or for speech without voices.
    """
    rng = generator_of(rng)
    kind = kind or _any_kind(rng, voices)
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    if kind in ("speech", "emotion") and not voices:
        raise ValueError(f"{kind} needs voices")
    mix = _Composer(rng, voices, apart).compose(kind)
    return LabelledSound(_recorded(rng, mix), tasks_of(rng, mix.content, apart))


def held_out(seed: int, count: int, voices: Voices | None = None) -> list[LabelledSound]:
    """Sounds for evaluation: of a stream of their own, sentences and wordings never trained on."""
    rng = np.random.default_rng((seed, 9901))
    return [draw(rng, None, voices, apart=True) for _ in range(count)]


def _any_kind(rng: Generator, voices: Voices | None) -> str:
    weights = {k: w for k, w in KINDS.items() if voices or k not in ("speech", "emotion")}
    shares = np.array(list(weights.values())) / sum(weights.values())
    return tuple(weights)[int(rng.choice(len(shares), p=shares))]


class _Composer:
    """Draws sources and lays them out."""

    def __init__(self, rng: Generator, voices: Voices | None, apart: bool) -> None:
        self._rng, self._voices, self._apart = rng, voices, apart

    def compose(self, kind: str) -> _Mix:
        rng = self._rng
        if kind == "emotion":
            emotion, name = pick(rng, EMOTIONS), pick(rng, SPEECH)
            waveform = in_mood(rng, self._voice(name), emotion)
            level_db = 20 * np.log10(np.abs(waveform).max())
            return _Mix(waveform, Content(((name, 0),), emotion=emotion), level_db)
        if kind == "speech":
            return self._alone(pick(rng, SPEECH), 0)
        if kind == "count":
            return self._alone(self._countable(), 4.5)
        if kind == "sound":
            return self._alone(_any_sound(rng), rng.uniform(1.2, 4.0))
        if kind == "scene":
            scene = pick(rng, SCENES)
            return self._together(self._cast(scene), scene)
        first, second = self._two_different()
        return (
            self._in_turn(first, second) if kind == "in turn" else self._together([first, second])
        )

    def _countable(self) -> str:
        return "beep" if self._rng.random() < 0.6 else pick(self._rng, _COUNTED)

    def _voice(self, name: str) -> np.ndarray:
        assert self._voices
        return self._voices.draw(self._rng, name, self._apart)

    def _sound(self, name: str, seconds: float) -> Sound:
        if name in SPEECH:
            return Sound(name, self._voice(name))
        return draw_sound(self._rng, name, seconds)

    def _alone(self, name: str, seconds: float) -> _Mix:
        sound = self._sound(name, seconds)
        return _Mix(sound.waveform, Content(((name, sound.count),)))

    def _cast(self, scene: str) -> list[str]:
        """Two or three sources that belong to a scene, all different."""
        groups = _RECIPES[scene] if self._rng.random() < 0.5 else _RECIPES[scene][:2]
        cast: list[str] = []
        for group in groups:
            left = [n for n in group if n not in cast and (self._voices or n != "people")]
            if left:
                cast.append(pick(self._rng, left))
        return [pick(self._rng, SPEECH) if name == "people" else name for name in cast]

    def _two_different(self) -> tuple[str, str]:
        """Two in five pairs have a voice in them; two sounds of one event would be no pair."""
        first = pick(self._rng, _DISTINCT)
        others = [name for name in _DISTINCT if NAMES[name].event != NAMES[first].event]
        voiced = self._voices and self._rng.random() < 0.4
        second = pick(self._rng, SPEECH if voiced else others)
        return (first, second) if self._rng.random() < 0.5 else (second, first)

    def _in_turn(self, *names: str) -> _Mix:
        sounds = [self._sound(name, self._rng.uniform(1.2, 2.6)) for name in names]
        pieces: list[np.ndarray] = []
        for sound in sounds:
            level = gain(self._rng, -6, 0) / _loudness(sound.waveform)
            pieces += [level * sound.waveform, np.zeros(samples(self._rng.uniform(0.15, 0.6)))]
        content = Content(tuple((sound.name, sound.count) for sound in sounds), "in turn")
        return _Mix(np.concatenate(pieces[:-1]), content)

    def _together(self, names: list[str], scene: str = "") -> _Mix:
        """Over one another: the background from the start, the others entering later."""
        rng = self._rng
        seconds = rng.uniform(2.5, 4.5)
        mix = np.zeros(samples(LONGEST_S))
        heard, end = [], 0
        for name in sorted(names, key=lambda name: name not in _BACKGROUNDS):
            start_s = rng.uniform(0.0, 0.8) if heard else 0.0
            sound = self._sound(name, seconds - start_s)
            levels = (-14, -5) if name in _BACKGROUNDS else (-6, 0)
            level = gain(rng, *levels) / _loudness(sound.waveform)
            add_at(mix, sound.waveform, samples(start_s), level)
            end = max(end, samples(start_s) + len(sound.waveform))
            heard.append((name, 0))
        return _Mix(mix[:end], Content(tuple(heard), "together", scene))


def _any_sound(rng: Generator) -> str:
    """An event first, then one of its sounds, so that an event with many is drawn no more often."""
    events = [event for event in EVENTS if " speaking " not in event]
    weights = np.array([_UNASKED_WEIGHT if event in _UNASKED else 1.0 for event in events])
    event = events[int(rng.choice(len(events), p=weights / weights.sum()))]
    return pick(rng, [name for name in SOUNDS if NAMES[name].event == event])


def _loudness(waveform: np.ndarray) -> float:
    """RMS of the loudest 50 ms: peaks alone would drown a voice beside the click of a clock."""
    frame = samples(0.05)
    frames = waveform[: len(waveform) // frame * frame].reshape(-1, frame)
    return max(float(np.sqrt((frames**2).mean(axis=1).max())), 1e-6)


def _recorded(rng: Generator, mix: _Mix) -> np.ndarray:
    """(T,) float32 as a microphone hears it: cut early or late, near or far, in a room, through
    its own curve, driven too hard now and then, over its own noise or that of a place.
    """
    waveform = mix.waveform
    silent = mix.content.sounds[0][0] == SILENCE
    if not silent and rng.random() < 0.4:
        waveform = _cut(waveform)
    waveform = np.pad(waveform, (0, max(0, samples(SHORTEST_S) - len(waveform))))
    if silent:
        return waveform.astype(np.float32)
    if rng.random() < 0.45:
        waveform = degrade.in_room(waveform, rng, rng.uniform(*degrade.REVERBERATION_S))
    faithful = bool(mix.content.emotion)  # a mood is heard in the colour of a voice
    if not faithful and rng.random() < 0.7:
        waveform = degrade.equalised(waveform, rng)
    if not faithful and rng.random() < 0.3:
        waveform = degrade.through_codec(waveform, rng)
    if not faithful and rng.random() < 0.1:
        waveform = np.tanh(rng.uniform(2, 6) * at_peak(waveform))
    peak = 10 ** ((mix.peak_db or rng.uniform(-18, -1)) / 20)
    waveform = at_peak(waveform, peak)
    noisy = not faithful and rng.random() < 0.2
    floor_db = rng.uniform(-32, -14) if noisy else rng.uniform(-80, -32)
    floor = peak * 10 ** (floor_db / 20) * coloured(rng, len(waveform), rng.uniform(0, 1))
    return np.clip(waveform + floor, -0.999, 0.999).astype(np.float32)


def _cut(waveform: np.ndarray) -> np.ndarray:
    """Without the quiet before and after it."""
    loud = np.flatnonzero(np.abs(waveform) > 0.03 * np.abs(waveform).max())
    return waveform[loud[0] : loud[-1] + 1]
