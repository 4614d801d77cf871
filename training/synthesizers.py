"""Speech synthesisers that make the training material: flite and espeak-ng, called through ctypes.

Both give, besides the waveform, the phones and the moment each one ends; these are the free labels
of the embedded model. espeak's phone mnemonics are translated to flite's names, so that one
inventory, `PHONES`, serves every voice.

Axis letters: T time, in samples.
"""

import ctypes
import logging
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from kimi_demo.errors import KimiError
from training.phones import (
    NEUTRAL_TONE,
    PAUSE,
    mandarin_phones,
    phones_of_mnemonic,
    tone_of_digits,
)

logger = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 16_000
LEADING_SILENCE_S = 0.10
TRAILING_SILENCE_S = 0.12

FLITE_VOICES = ("slt", "rms", "awb", "kal")
INSTALL_HINT = "to install it: apt-get install libflite1 libespeak-ng1 espeak-ng-data"


class SynthesizerUnavailableError(KimiError):
    """A synthesiser's shared library, or one of its voices, is not on this machine."""


@dataclass(frozen=True)
class Phone:
    """One speech sound and where it lies in the waveform, in seconds."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Utterance:
    """A spoken sentence, or another sound with what is known of it. waveform: (T,) int16.

    phones: cover it from 0 to its end; none if nobody knows them. events: (class, start_ms,
    end_ms). tasks: (task, question, answer).
    """

    text: str
    waveform: np.ndarray
    sample_rate: int
    phones: tuple[Phone, ...]
    events: tuple[tuple[str, int, int], ...] = ()
    emotion: str | None = None
    tasks: tuple[tuple[str, str, str], ...] = ()


def _load(name: str) -> ctypes.CDLL:
    """Open a shared library so that the libraries opened after it see its symbols."""
    try:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        message = f"{name} could not be opened ({error}); {INSTALL_HINT}"
        raise SynthesizerUnavailableError(message) from error


def _seed_noise(text: str) -> None:
    """Both synthesisers take their noise from the C library: give a sentence the same each time."""
    ctypes.CDLL(None).srand(zlib.crc32(text.encode()))


def utterance_at_16_khz(
    text: str, waveform: np.ndarray, sample_rate: int, ends: Sequence[tuple[str, float]]
) -> Utterance:
    """Trim (or pad) the silences at both ends, join neighbouring pauses, resample to 16 kHz.

    waveform: (T,) int16. ends: (phone name, end in seconds), in order.
    """
    ends = _joined_pauses(ends)
    speech_start_s = ends[0][1] if ends and ends[0][0] == PAUSE else 0.0
    spoken = [end_s for name, end_s in ends if name != PAUSE]
    speech_end_s = spoken[-1] if spoken else speech_start_s
    first = round((speech_start_s - LEADING_SILENCE_S) * sample_rate)
    last = round((speech_end_s + TRAILING_SILENCE_S) * sample_rate)
    padded = np.pad(waveform, (max(0, -first), max(0, last - len(waveform))))
    kept = padded[max(0, first) : max(0, first) + last - first]
    shift_s = first / sample_rate
    inside = ends if not ends or ends[-1][0] != PAUSE else ends[:-1]
    shifted = [(name, end_s - shift_s) for name, end_s in inside]
    return _utterance(text, _resampled(kept, sample_rate), shifted)


def _joined_pauses(ends: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    joined: list[tuple[str, float]] = []
    for name, end_s in ends:
        if joined and name == PAUSE == joined[-1][0]:
            joined.pop()
        joined.append((name, end_s))
    return joined


def _resampled(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    if sample_rate == SAMPLE_RATE_HZ:
        return np.ascontiguousarray(waveform, dtype=np.int16)
    ratio = Fraction(SAMPLE_RATE_HZ, sample_rate)
    resampled = resample_poly(waveform.astype(np.float32), ratio.numerator, ratio.denominator)
    return np.clip(np.round(resampled), -32768, 32767).astype(np.int16)


def _utterance(text: str, waveform: np.ndarray, ends: Sequence[tuple[str, float]]) -> Utterance:
    """Give every phone a start, and the pauses at both ends their place."""
    duration_s = len(waveform) / SAMPLE_RATE_HZ
    framed = list(ends)
    if not framed or framed[0][0] != PAUSE:
        framed.insert(0, (PAUSE, LEADING_SILENCE_S))
    framed.append((PAUSE, duration_s))
    phones, start_s = [], 0.0
    for name, end_s in framed:
        end_s = min(max(end_s, start_s), duration_s)
        phones.append(Phone(name, start_s, end_s))
        start_s = end_s
    return Utterance(text, waveform, SAMPLE_RATE_HZ, tuple(phones))


class _FliteVoice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("features", ctypes.c_void_p)]


class _FliteWave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


_FLITE_SIGNATURES = {
    "flite_synth_text": (ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_void_p]),
    "utt_wave": (ctypes.POINTER(_FliteWave), [ctypes.c_void_p]),
    "utt_relation": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
    "relation_head": (ctypes.c_void_p, [ctypes.c_void_p]),
    "item_next": (ctypes.c_void_p, [ctypes.c_void_p]),
    "item_feat_string": (ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_char_p]),
    "item_feat_float": (ctypes.c_float, [ctypes.c_void_p, ctypes.c_char_p]),
    "lex_lookup": (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p],
    ),
    "val_car": (ctypes.c_void_p, [ctypes.c_void_p]),
    "val_cdr": (ctypes.c_void_p, [ctypes.c_void_p]),
    "val_string": (ctypes.c_char_p, [ctypes.c_void_p]),
    "feat_set_float": (None, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float]),
    "delete_utterance": (None, [ctypes.c_void_p]),
}


class FliteSynthesizer:
    """One flite voice. `duration_stretch` above 1 speaks slower.

    Raises: SynthesizerUnavailableError if a library is missing; ValueError for another voice name.
    """

    def __init__(self, voice: str = "slt") -> None:
        if voice not in FLITE_VOICES:
            raise ValueError(f"flite has no voice {voice!r} here; it has {', '.join(FLITE_VOICES)}")
        self._flite = _load("libflite.so.1")
        _load("libflite_usenglish.so.1")
        self._lexicon_library = _load("libflite_cmulex.so.1")
        for function, (result, arguments) in _FLITE_SIGNATURES.items():
            getattr(self._flite, function).restype = result
            getattr(self._flite, function).argtypes = arguments
        self._flite.flite_init()
        register = getattr(_load(f"libflite_cmu_us_{voice}.so.1"), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = ctypes.POINTER(_FliteVoice), [ctypes.c_char_p]
        self._voice = register(None)

    def __call__(self, text: str, duration_stretch: float = 1.0) -> Utterance:
        flite, features = self._flite, self._voice.contents.features
        _seed_noise(text)
        flite.feat_set_float(features, b"duration_stretch", duration_stretch)
        handle = flite.flite_synth_text(text.encode(), ctypes.cast(self._voice, ctypes.c_void_p))
        if not handle:
            raise RuntimeError(f"flite could not speak {text!r}")
        try:
            wave = flite.utt_wave(handle).contents
            # The copy outlives the utterance, whose memory flite takes back below.
            waveform = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
            return utterance_at_16_khz(text, waveform, wave.sample_rate, self._phone_ends(handle))
        finally:
            flite.delete_utterance(handle)

    def pronounced(self, word: str) -> tuple[str, ...]:
        """The phones of one lower-case word by flite's lexicon and its letter-to-sound rules."""
        self._lexicon_library.cmu_lex_init.restype = ctypes.c_void_p
        lexicon = self._lexicon_library.cmu_lex_init()
        value, phones = self._flite.lex_lookup(lexicon, word.encode(), None, None), []
        while value:
            phones.append(self._flite.val_string(self._flite.val_car(value)).decode())
            value = self._flite.val_cdr(value)
        return tuple(phone.rstrip("012") for phone in phones)

    def _phone_ends(self, handle: int) -> list[tuple[str, float]]:
        flite, ends = self._flite, []
        segment = flite.relation_head(flite.utt_relation(handle, b"Segment"))
        while segment:
            name = flite.item_feat_string(segment, b"name").decode()
            ends.append((name, float(flite.item_feat_float(segment, b"end"))))
            segment = flite.item_next(segment)
        return ends


class _EspeakEvent(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("phoneme", ctypes.c_char * 8),
    ]


_ESPEAK_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_EspeakEvent)
)
# Values of the enumerations in espeak-ng's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_EVENT_LIST_END = 0
_EVENT_PHONEME = 7
_PARAMETER_RATE = 1
_PARAMETER_VOLUME = 2
_PARAMETER_PITCH = 3
_PARAMETER_RANGE = 4
_TEXT_IS_UTF8 = 1
_MNEMONICS_AS_ASCII = 0
_SYLLABLE_END = "_|"
# Reads hanzi; the voice called `cmn` would spell them out in English.
MANDARIN_VOICE = "cmn-latn-pinyin"


def _tone_of(written: str) -> int:
    return tone_of_digits("".join(re.findall(r"\d+", written)))


class EspeakSynthesizer:
    """espeak-ng in English (US) and Mandarin. The library is one machine: one call at a time.

    `unmapped` counts phone mnemonics that had no entry in the translation table.
    Raises: SynthesizerUnavailableError if the library or its data are missing.
    """

    def __init__(self) -> None:
        self._espeak = _load("libespeak-ng.so.1")
        self._native_rate = self._espeak.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, 0, None, _PHONEME_EVENTS
        )
        if self._native_rate <= 0:
            raise SynthesizerUnavailableError(f"espeak-ng found no data; {INSTALL_HINT}")
        self._pieces: list[np.ndarray] = []
        self._starts: list[tuple[str, float]] = []
        self.unmapped: Counter[str] = Counter()
        # Kept as an attribute: the library holds only a bare pointer to it.
        self._callback = _ESPEAK_CALLBACK(self._receive)
        self._espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
        text_type = ctypes.POINTER(ctypes.c_void_p)
        self._espeak.espeak_TextToPhonemes.argtypes = [text_type, ctypes.c_int, ctypes.c_int]

    def __call__(
        self,
        text: str,
        voice: str = "en-us",
        rate_wpm: int = 160,
        pitch: int = 50,
        pitch_range: int = 50,
        volume: int = 100,
    ) -> Utterance:
        """rate_wpm: words per minute, 80 to 450. pitch, pitch_range: 0 to 99; 0 of the range is a
        monotone. volume: 0 to 200.
        """
        espeak = self._espeak
        self._set_voice(voice)
        espeak.espeak_SetParameter(_PARAMETER_RATE, rate_wpm, 0)
        espeak.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
        espeak.espeak_SetParameter(_PARAMETER_RANGE, pitch_range, 0)
        espeak.espeak_SetParameter(_PARAMETER_VOLUME, volume, 0)
        self._pieces.clear()
        self._starts.clear()
        _seed_noise(text)
        data = text.encode()
        espeak.espeak_SetSynthCallback(self._callback)  # another instance may have set its own
        espeak.espeak_Synth(data, len(data) + 1, 0, 1, 0, _TEXT_IS_UTF8, None, None)
        espeak.espeak_Synchronize()
        waveform = np.concatenate([np.zeros(0, np.int16), *self._pieces])
        named = self._mandarin(text) if voice.startswith(MANDARIN_VOICE) else self._english()
        ends = self._phone_ends(named, len(waveform) / self._native_rate)
        return utterance_at_16_khz(text, waveform, self._native_rate, ends)

    def _set_voice(self, voice: str) -> None:
        if self._espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SynthesizerUnavailableError(f"espeak-ng has no voice {voice!r}; {INSTALL_HINT}")

    def _receive(self, samples, num_samples: int, events) -> int:
        if samples and num_samples > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        index = 0
        while events[index].type != _EVENT_LIST_END:
            if events[index].type == _EVENT_PHONEME:
                mnemonic = events[index].phoneme.decode("utf8", "ignore")
                self._starts.append((mnemonic, events[index].audio_position_ms / 1000))
            index += 1
        return 0  # go on

    def _english(self) -> list[tuple[str, ...] | None]:
        return [phones_of_mnemonic(mnemonic) for mnemonic, _ in self._starts]

    def _mandarin(self, text: str) -> list[tuple[str, ...] | None]:
        """Events name no tones, the written phonemes do: one of them for each syllable."""
        tones = iter(self._tones(text))
        tone, named = next(tones, NEUTRAL_TONE), []
        for mnemonic, _ in self._starts:
            named.append(mandarin_phones(mnemonic, tone))
            if mnemonic == _SYLLABLE_END:
                tone = next(tones, NEUTRAL_TONE)
        return named

    def syllables(self, text: str) -> list[tuple[str, ...]]:
        """The phones of each syllable of Mandarin text, in order, without a sound being made."""
        self._set_voice(MANDARIN_VOICE)
        spoken = []
        for written in self._written_syllables(text, separator="_"):
            tone = _tone_of(written)
            bare = re.sub(r"[\d',]", "", written)
            named = (mandarin_phones(m, tone) for m in bare.split("_") if m)
            spoken.append(tuple(phone for phones in named for phone in phones or ()))
        return [phones for phones in spoken if phones]

    def _tones(self, text: str) -> list[int]:
        return [_tone_of(written) for written in self._written_syllables(text)]

    def _written_syllables(self, text: str, separator: str = "") -> list[str]:
        """espeak's mnemonics of each syllable, with its tone as digits."""
        buffer = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        mode = _MNEMONICS_AS_ASCII | (ord(separator) << 8 if separator else 0)
        clauses = []
        while rest.value:  # one clause a call
            written = self._espeak.espeak_TextToPhonemes(ctypes.byref(rest), _TEXT_IS_UTF8, mode)
            clauses.append(written.decode())
        syllables = (s.strip("_") for s in re.split(r"[\s|]+", " ".join(clauses)))
        return [s for s in syllables if s]

    def _phone_ends(
        self, named: Sequence[tuple[str, ...] | None], duration_s: float
    ) -> list[tuple[str, float]]:
        """Turn espeak's starts into ends; a mnemonic of two phones is cut in two equal parts."""
        next_starts = [start_s for _, start_s in self._starts[1:]] + [duration_s]
        ends: list[tuple[str, float]] = []
        for (mnemonic, start_s), names, end_s in zip(self._starts, named, next_starts, strict=True):
            if names is None:
                self.unmapped[mnemonic] += 1
                names = (PAUSE,)
            part_s = (end_s - start_s) / max(1, len(names))
            ends += [(name, start_s + part_s * (i + 1)) for i, name in enumerate(names)]
            if not names and ends:  # a mark without a sound: its time goes to the phone before it
                ends[-1] = (ends[-1][0], end_s)
        return ends
