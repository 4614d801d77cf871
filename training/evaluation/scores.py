"""Error rates and shares. Pure functions.

Case, marks, digits and the script of Mandarin make no difference. Babble counts as far as it is
twice as long as what should be said: more would only measure when it ended.
"""

from __future__ import annotations

from collections.abc import Iterable

import jiwer

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
    the character error rate; `more` has the other rate of English. Every reference has words.
    """
    amiss, wanted, heard = [], [], []
    gap = "" if language == "zh" else " "
    for pair in pairs:
        words = words_of(pair[0], language)
        got = words_of(pair[1], language)[: LONGEST * len(words)]
        wanted.append(gap.join(words))
        heard.append(gap.join(got))
        amiss += [pair] if got != words else []
    if not wanted:
        return Figure(None, 0)
    cer, more = round(jiwer.cer(wanted, heard), 4), {"amiss": amiss[:EXAMPLES]}
    if language == "zh":
        return Figure(cer, len(wanted), more)
    return Figure(round(jiwer.wer(wanted, heard), 4), len(wanted), {"cer": cer, **more})


def share(judged: Iterable[tuple[bool, str]]) -> Figure:
    """The share of right answers. judged: whether one is right, and what it was."""
    judged = list(judged)
    if not judged:
        return Figure(None, 0)
    amiss = [what for is_right, what in judged if not is_right]
    right = 1 - len(amiss) / len(judged)
    return Figure(round(right, 4), len(judged), {"amiss": amiss[:EXAMPLES]})
