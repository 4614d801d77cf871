"""Bars as an HTML table: readable by eye, by screen reader and on a narrow screen."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

MOST_ROWS = 8  # what is less likely is folded away


def probability_chart(chances: Mapping[str, float], words: Mapping[str, str]) -> str:
    """Labels with bars and percentages, the likeliest first."""
    ranked = sorted(chances.items(), key=lambda pair: -pair[1])
    chart = _table(ranked[:MOST_ROWS], words)
    rest = ranked[MOST_ROWS:]
    if rest:
        summary = html.escape(words["understand_more"].format(count=len(rest)))
        chart += f"<details><summary>{summary}</summary>{_table(rest, words)}</details>"
    return f'<div class="chances">{chart}</div>'


def _table(ranked: Sequence[tuple[str, float]], words: Mapping[str, str]) -> str:
    heads = "".join(
        f'<th scope="col">{html.escape(words[key])}</th>'
        for key in ("understand_option", "understand_probability")
    )
    rows = "".join(_row(label, share) for label, share in ranked)
    caption = html.escape(words["understand_chart"])
    return (
        f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _row(label: str, share: float) -> str:
    percent = f"{100 * share:.1f}"
    return (
        f'<tr><th scope="row">{html.escape(label)}</th>'
        f'<td><i style="--share:{percent}%"></i><span>{percent} %</span></td></tr>'
    )
