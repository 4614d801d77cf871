"""Error rates and shares. Pure functions.

Case, marks, digits and the script of Mandarin make no difference. Babble counts as far as it is
twice as long as what should be said: more would only measure when it ended.
"""

from __future__ import annotations

from collections.abc import Iterable

import jiwer
from pypinyin import Style, lazy_pinyin

from kimi_demo.errors import InputError
from training.evaluation.rows import Figure
from training.texts.spoken import spoken_words

LONGEST = 2  # times the reference's words
EXAMPLES = 8  # of what was amiss, told with a figure
Pair = tuple[str, str]  # what should be read, and what is


def words_of(text: str, language: str) -> list[str]:
    """What counts of a text: words or single hanzi; nothing of a script that cannot be read."""
    try:
        return spoken_words(text, language)
    except InputError:
        return []


def error_rates(pairs: Iterable[Pair], language: str) -> Figure:
    """The word error rate over all pairs together, or in Mandarin, which has no words in writing,
    the character error rate. Every reference has words.

    `more["beside"]` has the character error rate of English and the syllable error rate of
    Mandarin: which of several hanzi of one sound and tone is meant, nobody can hear.
    """
    amiss, wanted, heard = [], [], []
    for pair in pairs:
        words = words_of(pair[0], language)
        wanted.append(" ".join(words))
        heard.append(" ".join(words_of(pair[1], language)[: LONGEST * len(words)]))
        amiss += [pair] if heard[-1] != wanted[-1] else []
    if not wanted:
        return Figure(None, 0)
    if language == "zh":
        syllables = ([_syllables(text) for text in texts] for texts in (wanted, heard))
        beside = {"syllables": round(jiwer.wer(*syllables), 4)}
    else:
        beside = {"CER": round(jiwer.cer(wanted, heard), 4)}
    more = {"beside": beside, "amiss": amiss[:EXAMPLES]}
    return Figure(round(jiwer.wer(wanted, heard), 4), len(wanted), more)


def _syllables(hanzi: str) -> str:
    """In pinyin with tones; the words around tell how a hanzi of several sounds is read."""
    return " ".join(lazy_pinyin(hanzi.replace(" ", ""), style=Style.TONE3))


def share(judged: Iterable[tuple[bool, str]]) -> Figure:
    """The share of right answers. judged: whether one is right, and what it was."""
    judged = list(judged)
    if not judged:
        return Figure(None, 0)
    amiss = [what for is_right, what in judged if not is_right]
    right = 1 - len(amiss) / len(judged)
    return Figure(round(right, 4), len(judged), {"amiss": amiss[:EXAMPLES]})
