"""What a text sounds like in words, before and after it was spoken, as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kimi_demo.engine.tasks.self_check import spoken_form
from kimi_demo.engine.tasks.speak import MAX_READING_CHARS, spoken_words
from kimi_demo.errors import InputError
from kimi_demo.tasks import TaskTable
from kimi_demo.text.comparing import Piece, compared
from kimi_demo.text.languages import flowing, joint


@dataclass(frozen=True)
class HeardBack:
    """What the model heard of its speech of one text.

    pieces: the words that were meant, and which of them were heard differently.
    """

    heard: str
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, text: str, heard: str) -> HeardBack:
        """Both in their spoken form."""
        return cls(heard, compared(spoken_form(text), spoken_form(heard)))


def said_note(tasks: TaskTable, text: str, language: str, words: Mapping[str, str]) -> str:
    """The words that will be said, where they are not those that were typed; or why they cannot be.

    Empty if there is nothing to tell.
    """
    try:
        said = spoken_words(tasks, text[:MAX_READING_CHARS], language)
    except InputError as exc:
        return f'<p class="said said-refused">{html.escape(str(exc))}</p>'
    pieces = compared(said, text)
    if not any(piece.differs for piece in pieces):
        return ""
    label = html.escape(words["said_label"])
    return f'<p class="said"><span class="said-label">{label}</span> {_marked(pieces, "b")}</p>'


def heard_note(found: Sequence[HeardBack], total: int, words: Mapping[str, str]) -> str:
    """The words that were meant, those marked that the model heard differently, and all it heard.

    total: sentences that it listens to, of which `found` are done.
    """
    pieces = [piece for back in found for piece in back.pieces]
    count = sum(piece.words for piece in pieces)
    wrong = sum(piece.words for piece in pieces if piece.differs)
    if len(found) < total:
        summary = words["heard_progress"].format(index=len(found) + 1, total=total)
    elif wrong:
        summary = words["heard_differs"].format(count=wrong, total=count)
    else:
        summary = words["heard_same"]
    body = f'<p class="heard-text">{_flowing(found)}</p>' if found else ""
    if wrong:
        heard = flowing(back.heard for back in found) or "–"
        label = html.escape(words["heard_words"])
        body += f'<p class="heard-words">{label} {html.escape(heard)}</p>'
    return f'<section class="heard"><p class="heard-sum">{html.escape(summary)}</p>{body}</section>'


def _flowing(found: Sequence[HeardBack]) -> str:
    whole, before = "", ""
    for back in found:
        text = "".join(piece.text for piece in back.pieces)
        whole += (joint(before, text) if before and text else "") + _marked(back.pieces, "mark")
        before = text or before
    return whole


def _marked(pieces: Iterable[Piece], tag: str) -> str:
    return "".join(
        f"<{tag}>{html.escape(piece.text)}</{tag}>" if piece.differs else html.escape(piece.text)
        for piece in pieces
    )
