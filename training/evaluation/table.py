"""What fills the rows, their results, and the table for people."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from kimi_demo.errors import InputError
from training.evaluation import hearing, links, speaking, speed, talking, texts, understanding
from training.evaluation.bench import Bench, Measurement
from training.evaluation.rows import Figure, NotMeasuredError, Row, read_rows

logger = logging.getLogger(__name__)

FIGURES_BEGIN, FIGURES_END = "<!-- figures -->", "<!-- end -->"
Result = dict[str, object]

LINKS: Mapping[str, Measurement] = {
    "links-en": links.copying("en", texts.open_vocabulary),
    "links-zh": links.copying("zh", texts.mandarin),
}
SECTIONS: Mapping[str, Measurement] = {
    "speaks-small-world": speaking.reading("en", texts.small_world),
    "speaks-open-vocabulary": speaking.reading("en", texts.open_vocabulary),
    "speaks-mandarin": speaking.reading("zh", texts.mandarin),
    **LINKS,
    "hears-english": hearing.natural("en", texts.open_vocabulary),
    "hears-flite": hearing.flite,
    "hears-people": hearing.people,
    "hears-mandarin": hearing.natural("zh", texts.mandarin),
    "questions-en": talking.conversing("en", aloud=True),
    "questions-zh": talking.conversing("zh", aloud=True),
    "typed-en": talking.conversing("en", aloud=False),
    "typed-zh": talking.conversing("zh", aloud=False),
    "captions": understanding.captions,
    "choices": understanding.choices,
    "asks": understanding.questions,
    "real-sounds": understanding.real_sounds,
    "files": speed.files,
    "speed": speed.speaking,
    "answering": speed.answering,
    "encoders": speed.hearing,
    "memory": speed.memory,
}


def measured(bench: Bench, names: Collection[str]) -> list[Result]:
    """The rows of these sections, in the order of the card. A section that fails is told as such
    and does not stop the others.
    """
    rows = [row for row in read_rows() if row.section in names]
    figures = {name: _figures(bench, name) for name in SECTIONS if name in names}
    return [_result(row, *figures[row.section]) for row in rows]


def _figures(bench: Bench, name: str) -> tuple[Mapping[str, Figure], str, float]:
    """Figures by key, what went wrong, and the seconds that it took."""
    logger.info("%s ...", name)
    started, figures, problem = time.monotonic(), {}, ""
    try:
        figures = SECTIONS[name](bench)
    except NotMeasuredError as exc:
        problem = str(exc)
    except Exception as exc:  # whatever is wrong with one section, the others are wanted
        logger.exception("%s cannot be measured", name)
        problem = f"failed: {type(exc).__name__}: {exc}"
    return figures, problem, round(time.monotonic() - started, 1)


def _result(row: Row, figures: Mapping[str, Figure], problem: str, seconds: float) -> Result:
    """One row as plain values. section_s: of all rows of its section together."""
    figure = figures.get(row.key, Figure(None, 0))
    return {
        "row": row.name,
        "measure": row.measure,
        "value": figure.value,
        "at_least": row.aim,
        "stretch": row.stretch,
        "reached": row.reaches(figure.value, row.aim),
        "stretch_reached": row.reaches(figure.value, row.stretch),
        "items": figure.count,
        "problem": problem,
        "section": row.section,
        "section_s": seconds,
        **figure.more,
    }


def readable(results: Sequence[Result]) -> Iterator[str]:
    """The table in Markdown, line by line."""
    yield "| | measure | figure | at least | stretch | reached | items |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        value, aim, stretch = (_number(result[k]) for k in ("value", "at_least", "stretch"))
        mark = {None: "", False: "no", True: "yes"}[result["reached"]]
        mark = "stretch" if result["stretch_reached"] else mark
        beside = "".join(f" ({name} {x:.3g})" for name, x in result.get("beside", {}).items())
        figure = value + beside or result["problem"]
        cells = [result["row"], result["measure"], figure, aim, stretch, mark]
        yield "| " + " | ".join(str(cell) for cell in (*cells, result["items"] or "")) + " |"


def quoted(card: str, introduction: str, results: Sequence[Result]) -> str:
    """The card with this table between its marks. Raises: InputError if it has no marks."""
    head, begin, rest = card.partition(FIGURES_BEGIN)
    _, end, tail = rest.partition(FIGURES_END)
    if not begin or not end:
        raise InputError(f"the card needs the marks {FIGURES_BEGIN} and {FIGURES_END}")
    return "\n".join((head + begin, introduction, "", *readable(results), end + tail))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
