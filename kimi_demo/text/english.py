"""Written English to spoken English: "Dr. Hu paid $3.50 at 7:30." -> "Doctor Hu paid three dollars
and fifty cents at seven thirty.".

Rules are applied one after the other, the more special first; each leaves words behind that no
later one takes up again.
"""

from __future__ import annotations

import re

from kimi_demo.text import addresses
from kimi_demo.text.english_amounts import AMOUNTS, NUMBERS, PHONES, RANGES, VERSIONS
from kimi_demo.text.english_dates import DATES, TIMES, YEARS
from kimi_demo.text.english_numbers import number, ordinal
from kimi_demo.text.rules import Rule, any_of, named, read, rule

# With their full stop; of several meanings the one that prose has most often.
_ABBREVIATIONS = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor",
    "Gen": "General", "Sen": "Senator", "Gov": "Governor", "Capt": "Captain", "Sgt": "Sergeant",
    "Lt": "Lieutenant", "Rev": "Reverend", "Hon": "Honorable", "Mt": "Mount", "Ave": "Avenue",
    "Blvd": "Boulevard", "Rd": "Road", "Jr": "Junior", "Sr": "Senior", "Inc": "Incorporated",
    "Ltd": "Limited", "Corp": "Corporation", "Co": "Company", "Dept": "Department",
    "dept": "department", "approx": "approximately", "e.g": "for example", "i.e": "that is",
    "etc": "et cetera", "vs": "versus", "cf": "compare", "ca": "circa", "Ph.D": "P H D",
    "incl": "including", "misc": "miscellaneous",
}  # fmt: skip
_WITHOUT_STOP = {"Mr": "Mister", "Mrs": "Missus", "Dr": "Doctor", "vs": "versus",
                 "etc": "et cetera", "PhD": "P H D", "OK": "okay"}  # fmt: skip
_BEFORE_NUMBERS = {
    "No": "number", "no": "number", "Nos": "numbers", "nos": "numbers", "p": "page", "pp": "pages",
    "Fig": "Figure", "fig": "figure", "Vol": "Volume", "vol": "volume", "Ch": "Chapter",
    "ch": "chapter", "Sec": "Section", "sec": "section", "Art": "Article",
}  # fmt: skip
# These may be the last word of a sentence, so a capital after them begins the next one.
_CLOSING = frozenset((
    "Jr", "Sr", "Inc", "Ltd", "Corp", "Co", "etc", "Ave", "Blvd", "Rd", "Ph.D",
))  # fmt: skip
_NO_STREETS = frozenset((
    "In", "At", "To", "From", "The", "Of", "And", "Near", "For", "By", "On",
))  # fmt: skip

_SYMBOLS = {
    "&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at", "°": "degrees",
    "×": "times", "÷": "divided by", "<": "less than", ">": "greater than", "≤": "at most",
    "≥": "at least", "≈": "about", "≠": "is not", "±": "plus or minus", "€": "euros",
    "£": "pounds", "¥": "yen", "₹": "rupees", "₩": "won", "$": "dollars", "§": "section",
    "/": "slash", "‰": "per mille",
}  # fmt: skip

# Said as a word although written in capitals.
_ACRONYMS = frozenset((
    "NASA", "NATO", "UNESCO", "UNICEF", "OPEC", "ASEAN", "AIDS", "LASER", "RADAR", "SONAR",
    "SCUBA", "PIN", "SIM", "RAM", "ROM", "GIF", "JPEG", "COVID", "SARS", "ZIP", "ASCII",
    "FIFA", "UEFA", "NAFTA", "SWAT", "CUDA", "IKEA", "LEGO", "NVIDIA", "ASUS",
))  # fmt: skip
# Said letter by letter although four letters or more with a vowel look like a loud word.
_INITIALISMS = frozenset((
    "ISBN", "ISSN", "IEEE", "HDMI", "YMCA", "AAAI", "ICML", "ESPN", "UCLA", "IELTS", "IMAP",
    "IUPAC", "NAACP", "ASMR", "ADHD", "OECD", "UEFI",
))  # fmt: skip
# The opposite: short, but a loud word.
_LOUD = frozenset((
    "AM", "AN", "AS", "AT", "BE", "BY", "DO", "GO", "HE", "IF", "IN", "IS", "ME", "MY", "NO",
    "OF", "ON", "OR", "SO", "TO", "UP", "WE", "OH", "HI", "ALL", "AND", "ANY", "ARE", "ASK",
    "BAD", "BED", "BIG", "BOX", "BOY", "BUS", "BUT", "BUY", "CAN", "CAR", "CAT", "CUP", "CUT",
    "DAD", "DAY", "DID", "DOG", "EAT", "END", "EYE", "FAR", "FEW", "FOR", "FUN", "GET", "GOT",
    "GUY", "HAD", "HAS", "HAT", "HER", "HEY", "HIM", "HIS", "HOT", "HOW", "JOB", "KEY", "LET",
    "LOT", "MAN", "MAY", "MEN", "MOM", "NEW", "NOT", "NOW", "OFF", "OLD", "ONE", "OUR", "OUT",
    "OWN", "PAY", "PUT", "RED", "RUN", "SAD", "SAW", "SAY", "SEA", "SEE", "SHE", "SIT", "SIX",
    "SON", "SUN", "TEA", "TEN", "THE", "TOO", "TOP", "TRY", "TWO", "USE", "WAR", "WAS", "WAY",
    "WHO", "WHY", "WIN", "WON", "YES", "YET", "YOU",
))  # fmt: skip

_ROMAN = r"(?=[IVX])(X{0,3}(?:IX|IV|V?I{0,3}))(?![A-Za-z'])"
_RULERS = (
    "Alexander|Alfonso|Benedict|Catherine|Charles|Christian|Clement|Edward|Elizabeth|Felipe|"
    "Ferdinand|Francis|Frederick|George|Gregory|Gustav|Harald|Henry|Innocent|Ivan|James|John|Juan|"
    "Leo|Leopold|Louis|Ludwig|Mary|Napoleon|Nicholas|Paul|Peter|Philip|Pius|Ramesses|Richard|"
    "Robert|Sixtus|Urban|Victor|Wilhelm|William|Xerxes"
)
_NUMBERED = (
    "Act|Apollo|Appendix|Article|Book|Bowl|Chapter|Class|Episode|Figure|Grade|Level|Lesson|Part|"
    "Phase|Scene|Section|Stage|Table|Title|Type|Unit|Version|Volume|War"
)
_MARK_RUN = re.compile(r"[.,?!;:](?:\s*[.,?!;:])+")


def spoken_english(text: str) -> str:
    """ASCII words and . , ? ! ; : ' " - only.

    text: as `characters.plain` leaves it.
    """
    return _tidy(read(_quiet(text), _RULES))


def _quiet(text: str) -> str:
    """Whole sentences in capitals are lowered; what is known to be letters stays."""
    capitals = re.findall("[A-Z]{2,}", text)
    if re.search("[a-z]", text) or len(capitals) < 3 or sum(map(_is_loud, capitals)) < 2:
        return text
    lowered = re.sub("[A-Z]+", lambda m: m[0] if _is_acronym(m[0]) else m[0].lower(), text)
    return re.sub("[a-z]", lambda m: m[0].upper(), lowered, count=1)


def _is_acronym(word: str) -> bool:
    """Whether these capitals are one in a text of capitals, too."""
    return word in _INITIALISMS or word in _ACRONYMS or not re.search("[AEIOUY]", word)


def _is_loud(word: str) -> bool:
    """Whether these capitals are a common word."""
    return word in _LOUD or (len(word) > 3 and not _is_acronym(word))


def _abbreviation(match: re.Match[str]) -> str:
    return _ABBREVIATIONS[match[1]] + _stop(match, closing=match[1] in _CLOSING)


def _stop(match: re.Match[str], closing: bool = True) -> str:
    """The full stop of an abbreviation, where it also ends the sentence."""
    rest = match.string[match.end() :]
    return "." if not rest.strip(" \"')") or (closing and re.match(r"\s+[A-Z]", rest)) else ""


def _street_or_saint(match: re.Match[str]) -> str:
    """ "Main St.", but "St. Louis" and "In St. Louis"."""
    before = match[1] or ""
    if before.strip() and before.strip() not in _NO_STREETS:
        return f"{before}Street{_stop(match)}"
    return f"{before}Saint"


def _initials(match: re.Match[str]) -> str:
    return _letters(match[0].replace(".", "")) + _stop(match, closing=False)


def _letters(word: str) -> str:
    return " ".join(word.upper())


def _capitals(match: re.Match[str]) -> str:
    """USA, PCs, NASA's, STOP."""
    word, ending = match[1], match[2] or ""
    if word in _ACRONYMS:
        return word + ending
    if _is_loud(word):
        return word.lower() + ending
    return _letters(word) + ("'s" if ending else "")


def _roman(written: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10}[letter] for letter in written]
    following = [*values[1:], 0]
    return sum(v if v >= n else -v for v, n in zip(values, following, strict=True))


def _tidy(text: str) -> str:
    """Marks and spaces as they are usual, nothing that is not spoken."""
    text = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", "", text)
    text = re.sub(r"(?<![A-Za-z])-|-(?![A-Za-z])|[^A-Za-z.,?!;:'\"-]+|\"\"+", " ", text)
    text = _MARK_RUN.sub(_strongest_mark, text)
    text = re.sub(r"\s*([.,?!;:])(?=[A-Za-z])", r"\1 ", text)
    text = re.sub(r"\s+(?=[.,?!;:])", "", text)
    text = re.sub(r"\s+", " ", text).lstrip(" .,?!;:").rstrip(" ,;:")
    return text if re.search("[A-Za-z]", text) else ""


def _strongest_mark(match: re.Match[str]) -> str:
    return next((mark for mark in match[0] if mark in ".?!"), match[0][0])


ABBREVIATIONS: tuple[Rule, ...] = (
    rule(rf"\b({any_of(_BEFORE_NUMBERS)})\.\s?(?=\d)", lambda m: _BEFORE_NUMBERS[m[1]] + " "),
    rule(r"\bNo (?=\d)", "number "),
    rule(r"\b(\d+(?:st|nd|rd|th) |[A-Z][a-z]+ )?St\.", _street_or_saint),
    rule(rf"(?<![A-Za-z])({any_of(_ABBREVIATIONS)})\.(?![A-Za-z])", _abbreviation),
    rule(rf"(?<![A-Za-z])({any_of(_WITHOUT_STOP)})(?![A-Za-z.])", lambda m: _WITHOUT_STOP[m[1]]),
    rule(r"(?<![A-Za-z.])(?:[A-Za-z]\.){2,}(?![A-Za-z])", _initials),
)
_WORDS: tuple[Rule, ...] = (
    rule("[’‘]", "'"),
    rule("[“”]", '"'),
    rule(r"([^\w\s.,?!'])\1{2,}|(?<!\S)#+(?=\s)", ", "),
    addresses.ENGLISH,
    *PHONES,
    rule(r"(?<=\d)\s?([AaPp])\.\s?[Mm](?:\.|\b)", lambda m: f" {m[1]}m{_stop(m)}"),
    rule(r"\s[-–](?=\s+[A-Za-z])|\s*—+\s*|[()\[\]{}|]", ", "),
    rule(r"[*_`\\]", " "),
    rule(r"\.{2,}(?=\s*[a-z])", ", "),
    *ABBREVIATIONS,
    rule(r"(?<=[a-z])\.(?=[a-z])", " dot "),
    rule(rf"(?<![A-Za-z])({_NUMBERED}) {_ROMAN}", lambda m: f"{m[1]} {number(str(_roman(m[2])))}"),
    rule(
        rf"(?<![A-Za-z])({_RULERS}) (?!I\b(?!\s*(?:[.,;:)]|$|of\b))){_ROMAN}",
        lambda m: f"{m[1]} the {ordinal(_roman(m[2]))}",
    ),
)
_LETTERS: tuple[Rule, ...] = (
    rule(
        r"(?<![A-Za-z])([A-Z]+)&([A-Z]+)(?![A-Za-z])",
        lambda m: f"{_letters(m[1])} and {_letters(m[2])}",
    ),
    rule(r"(?<![A-Za-z])([A-Z]{2,})('?s)?(?![A-Za-z])", _capitals),
    rule(r"#(?=[A-Za-z])", " hashtag "),
    rule(r"\^2(?!\d)", " squared "),
    rule(r"\^3(?!\d)", " cubed "),
    rule(r"\^(?=\d)", " to the power of "),
    named(_SYMBOLS),
)
_RULES = (
    *_WORDS, *DATES, *RANGES, *TIMES, *AMOUNTS, *VERSIONS, *YEARS, *_LETTERS, *NUMBERS,
)  # fmt: skip
