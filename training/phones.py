"""The phone inventory of every voice: `pau` for silence, flite's lower-case ARPAbet for English,
and for Mandarin its own consonants (`zh:b`) and vowels with their tone (`zh:a4`).
"""

from __future__ import annotations

from itertools import product

PAUSE = "pau"

# fmt: off
ENGLISH_PHONES = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw",
    "b", "ch", "d", "dh", "f", "g", "hh", "jh", "k", "l", "m", "n", "ng", "p", "r", "s", "sh", "t",
    "th", "v", "w", "y", "z", "zh",
)

# espeak-ng's mnemonics for English (its own Kirshenbaum-like ASCII), stress marks already dropped.
_ESPEAK = {
    "_": "pau", "_:": "pau", "_!": "pau", "_|": "pau", "_::": "pau",
    "p": "p", "b": "b", "t": "t", "t#": "t", "t2": "t", "?": "t", "d": "d", "d#": "d", "k": "k",
    "g": "g", "f": "f", "v": "v", "T": "th", "D": "dh", "s": "s", "z": "z", "z2": "z", "S": "sh",
    "Z": "zh", "h": "hh", "tS": "ch", "dZ": "jh", "m": "m", "n": "n", "n-": "ax n", "N": "ng",
    "l": "l", "l#": "l", "r": "r", "r-": "r", "w": "w", "j": "y", "x": "k", "C": "hh", ";": "",
    "l-": "l", "m-": "ax m",
    "I": "ih", "I2": "ih", "I#": "ih", "i": "iy", "i:": "iy", "E": "eh", "E2": "eh", "E#": "eh",
    "a": "ae", "a2": "ae", "aa": "ae", "a#": "ax", "@": "ax", "@2": "ax", "@-": "ax", "@5": "uh",
    "@L": "ax l", "V": "ah", "0": "aa", "02": "aa", "0#": "aa", "A:": "aa", "A": "aa", "O:": "ao",
    "O": "ao", "O2": "ao", "o": "ow", "U": "uh", "u": "uw", "u:": "uw", "3": "er", "3:": "er",
    "eI": "ey", "e": "ey", "aI": "ay", "aU": "aw", "oU": "ow", "OI": "oy",
    "A@": "aa r", "O@": "ao r", "o@": "ao r", "e@": "eh r", "i@": "iy ax", "i@3": "ih r",
    "U@": "uh r", "aI3": "ay er", "aI@": "ay ax", "aU@": "aw er", "aU3": "aw er",
}

# The same for its Mandarin voice, in pinyin. "yn" is the vowel of yun, "yan" that of yuan.
_MANDARIN_CONSONANTS = {
    "p": "b", "ph": "p", "m": "m", "f": "f", "t": "d", "th": "t", "n": "n", "l": "l", "k": "g",
    "kh": "k", "X": "h", "tS;": "j", "tS;h": "q", "S;": "x", "ts.": "zh", "ts.h": "ch", "s.": "sh",
    "z.": "r", "ts": "z", "tsh": "c", "s": "s", "w": "w", "j": "y", "N": "ng",
}
_MANDARIN_VOWELS = {
    "a": "a", "A": "a", "ai": "ai", "Au": "ao", "o": "o", "io": "o", "o-": "e", "@": "en",
    "@r": "er", "ei": "ei", "ou": "ou", "ong": "ong", "i": "i", "i.": "ii", "i[": "ii", "iA": "ia",
    "iE": "ie", "iou": "iu", "u": "u", "ua": "ua", "uai": "uai", "uei": "ui", "uo": "uo",
    "u@": "un", "y": "v", "yi": "v", "yE": "ve", "y&": "yan", "y@": "yn", "yu": "yong",
}
# fmt: on
_TONES = {"55": 1, "35": 2, "214": 3, "21": 3, "51": 4}  # Chao's tone letters; others are neutral
NEUTRAL_TONE = 5


def _named(name: str, tone: int | str = "") -> str:
    return f"zh:{name}{tone}"


MANDARIN_PHONES = (
    *map(_named, _MANDARIN_CONSONANTS.values()),
    *(_named(v, t) for v, t in product(dict.fromkeys(_MANDARIN_VOWELS.values()), range(1, 6))),
)
PHONES = (PAUSE, *ENGLISH_PHONES, *MANDARIN_PHONES)


def phones_of_mnemonic(mnemonic: str) -> tuple[str, ...] | None:
    """The phones of one espeak mnemonic: none for a silent mark, `None` if it is not known."""
    bare = mnemonic.lstrip("',%=|")
    for candidate in (bare, bare.rstrip("0123456789#-~"), bare[:1]):
        if candidate in _ESPEAK:
            return tuple(_ESPEAK[candidate].split())
    return None


def mandarin_phones(mnemonic: str, tone: int) -> tuple[str, ...] | None:
    """The same for a mnemonic of the Mandarin voice, in a syllable of this tone (1 to 5)."""
    if mnemonic.startswith("_"):
        return () if mnemonic == "_|" else (PAUSE,)
    if mnemonic == ";":
        return ()
    if mnemonic in _MANDARIN_CONSONANTS:
        return (_named(_MANDARIN_CONSONANTS[mnemonic]),)
    if mnemonic in _MANDARIN_VOWELS:
        return (_named(_MANDARIN_VOWELS[mnemonic], tone),)
    return None


def tone_of_digits(digits: str) -> int:
    """Chao's tone letters of a syllable ("51") to the number of the tone; 5 is the neutral one."""
    return _TONES.get(digits, NEUTRAL_TONE)
