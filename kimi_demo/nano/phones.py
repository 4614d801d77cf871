"""The phone inventory of every English voice: flite's lower-case ARPAbet, `pau` for silence."""

PAUSE = "pau"

# fmt: off
PHONES = (
    PAUSE,
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
# fmt: on


def phones_of_mnemonic(mnemonic: str) -> tuple[str, ...] | None:
    """The phones of one espeak mnemonic: none for a silent mark, `None` if it is not known."""
    bare = mnemonic.lstrip("',%=|")
    for candidate in (bare, bare.rstrip("0123456789#-~"), bare[:1]):
        if candidate in _ESPEAK:
            return tuple(_ESPEAK[candidate].split())
    return None
