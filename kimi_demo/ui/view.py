"""What the views of the tabs share: reports, figures, progress, names, the header.

A view is fed one event after the other and answers with what changes on the page; a tab maps that
onto its components. No Gradio server is needed to test one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.events import Answer, Finished, Queued

LANGUAGE_NAMES = {"en": "English", "zh": "中文"}


@dataclass(frozen=True, eq=False)
class Shown:
    """One change of the page; None leaves a component as it is. report, segments, heard: HTML.

    files: format to contents, once there is something to download. chances: of options.
    """

    text: str | None = None
    report: str | None = None
    player: str | None = None
    caption: str | None = None
    recording: Audio | None = None
    heard: str | None = None
    segments: str | None = None
    files: Mapping[str, str] | None = None
    chances: Mapping[str, float] | None = None


def progress(label: str, done: int, total: int) -> str:
    """Where a long task stands, as HTML: words for everyone, a bar for those who see it."""
    bar = f'<progress max="{total}" value="{done}" aria-hidden="true"></progress>'
    return f'<p class="progress">{html.escape(label)}{bar if total > 1 else ""}</p>'


class QueueNote:
    """Tells who is served first, where that is anybody; visitors of the page and callers of the API
    stand in one line."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self._ahead = 0

    def changed(self, event: Queued, otherwise: str) -> Iterator[str]:
        """The new report: how many are ahead, or `otherwise` once nobody is; nothing if it is as
        before."""
        if event.ahead == self._ahead:
            return
        self._ahead = event.ahead
        label = self._words["report_queued"].format(count=event.ahead)
        yield progress(label, 0, 0) if event.ahead else otherwise


def speech_report(finished: Finished, seed: int, words: Mapping[str, str]) -> str:
    timings = finished.timings
    figures = [
        (words["report_first_sound"], _seconds(timings.first_audio_s), ""),
        (words["report_rtf"], _plain(timings.rtf), words["report_rtf_info"]),
        (words["report_audio"], _seconds(timings.audio_s), ""),
        (words["report_tokens"], str(finished.audio_tokens), ""),
        (words["report_seed"], str(seed), ""),
    ]
    return _figures(figures, finished, words)


def written_report(finished: Finished, seed: int, words: Mapping[str, str]) -> str:
    figures = [
        (words["report_first_text"], _seconds(finished.timings.first_text_s), ""),
        (words["report_tokens"], str(finished.text_tokens), ""),
        (words["report_seed"], str(seed), ""),
    ]
    return _figures(figures, finished, words)


def transcript_report(
    finished: Finished, heard_s: float, words: Mapping[str, str], language: str = ""
) -> str:
    """One line of figures about a transcript, as HTML. language: a code, if it is to be told."""
    timings = finished.timings
    rtf = timings.total_s / heard_s if heard_s else None
    named = LANGUAGE_NAMES.get(language, language)
    figures = [
        *([(words["report_language"], html.escape(named), "")] if named else []),
        (words["report_first_text"], _seconds(timings.first_text_s), ""),
        (words["report_rtf"], _plain(rtf), words["report_rtf_info"]),
        (words["report_heard"], _seconds(heard_s), ""),
        (words["report_tokens"], str(finished.text_tokens), ""),
    ]
    return _figures(figures, finished, words)


def answer_facts(answer: Answer, seed: int) -> dict[str, object]:
    """The figures of a whole answer for programs; seconds and token counts."""
    finished = answer.finished
    return {
        "text": answer.text,
        "audio_s": round(finished.timings.audio_s, 3),
        "ttfa_s": _rounded(finished.timings.first_audio_s),
        "rtf": _rounded(finished.timings.rtf),
        "prompt_tokens": finished.prompt_tokens,
        "text_tokens": finished.text_tokens,
        "audio_tokens": finished.audio_tokens,
        "reason": finished.reason,
        "seed": seed,
    }


def header(capabilities: Capabilities, words: Mapping[str, str]) -> str:
    count = known_count(capabilities.parameters)
    chips = [
        f"<b>{html.escape(capabilities.model)}</b>",
        html.escape(words["status_device"].format(device=capabilities.device)),
        *([html.escape(words["status_parameters"].format(count=count))] if count else []),
        html.escape(words["status_rate"].format(rate=f"{capabilities.sample_rate / 1000:g}")),
    ]
    return (
        f'<header class="head"><div class="head-title">{LOGO}<div><h1>{words["title"]}</h1>'
        f"<p>{words['tagline']}</p></div></div>"
        f'<ul class="head-status">{"".join(f"<li>{chip}</li>" for chip in chips)}</ul>'
        f'<p class="head-label">{html.escape(capabilities.label)}</p></header>'
    )


def file_name(text: str) -> str:
    """A download's name from the first words spoken: "Hello, you!" -> "hello-you.wav"."""
    found = re.findall(r"\w+", text.lower())[:6]
    return ("-".join(found)[:48] or "speech") + ".wav"


def known_count(parameters: int) -> str:
    """The size of a model; empty where a server does not tell it."""
    return short_count(parameters) if parameters else ""


def short_count(number: int) -> str:
    """3_120_000 -> "3.1 M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)


LOGO = (
    '<svg class="head-logo" viewBox="0 0 48 48" aria-hidden="true">'
    '<rect width="48" height="48" rx="14"/>'
    '<path d="M11 21v6M17.5 15.5v17M24 10v28M30.5 17v14M37 21.5v5"/></svg>'
)


def _figures(
    figures: list[tuple[str, str, str]], finished: Finished, words: Mapping[str, str]
) -> str:
    items = "".join(
        f'<li class="figure" title="{html.escape(info)}">{html.escape(name)} <b>{value}</b></li>'
        for name, value, info in figures
    )
    if finished.reason != "stop":
        warning = words[f"report_{finished.reason}"]
        items += f'<li class="figures-warning">{html.escape(warning)}</li>'
    return f'<ul class="figures">{items}</ul>'


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
