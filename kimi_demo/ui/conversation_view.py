"""A conversation as the page shows it: bubbles, and a reply that grows. No server is needed."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kimi_demo import audio
from kimi_demo.audio import Audio
from kimi_demo.conversation import ChatTurn
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, Queued, TextDelta
from kimi_demo.ui.player import PlayerFeed
from kimi_demo.ui.reply import Reply
from kimi_demo.ui.view import QueueNote, Shown, file_name, speech_report, written_report
from kimi_demo.voice_activity import without_silence

Bubble = dict[str, Any]  # a message of gr.Chatbot
Save = Callable[[Audio, str], str]  # a sound and its file's name to the file's path
THINKING = "…"


def bubbles(turns: Iterable[ChatTurn], save: Save, words: Mapping[str, str]) -> list[Bubble]:
    return [bubble for turn in turns for bubble in turn_bubbles(turn, save, words)]


def turn_bubbles(turn: ChatTurn, save: Save, words: Mapping[str, str]) -> list[Bubble]:
    """The question and, as far as there is one, the answer."""
    asked = question_bubble(turn.asked, save, words)
    shown = [with_heard(asked, turn.heard_text, words)]
    answer: list[Any] = [_literal(turn.answer_text)] if turn.answer_text else []
    if turn.spoken:
        path = save(turn.spoken, file_name(turn.answer_text))
        answer.append(_sound(path, turn.spoken, words["conversation_its_sound"]))
    if answer:
        shown.append({"role": "assistant", "content": answer})
    return shown


def question_bubble(asked: str | Audio, save: Save, words: Mapping[str, str]) -> Bubble:
    if isinstance(asked, str):
        return {"role": "user", "content": _literal(asked)}
    sound = _sound(save(asked, "question.wav"), asked, words["conversation_your_sound"])
    return {"role": "user", "content": sound}


def with_heard(question: Bubble, heard: str, words: Mapping[str, str]) -> Bubble:
    """A spoken question with what the model heard of it; a typed one, which its visitor can read,
    and one of which nothing was heard, as they are.
    """
    sound = question["content"]
    if isinstance(sound, str) or not heard.strip():
        return question
    note = words["conversation_heard"].format(text=heard.strip())
    return question | {"content": [sound, _literal(note)]}


def answer_bubble(text: str) -> Bubble:
    return {"role": "assistant", "content": _literal(text) or THINKING}


def _literal(text: str) -> str:
    """The chat takes every text for HTML."""
    return html.escape(text, quote=False)


def _sound(path: str, sound: Audio, caption: str) -> dict[str, Any]:
    file = {"path": path, "orig_name": Path(path).name, "mime_type": "audio/wav"}
    return {"file": file, "alt_text": caption.format(seconds=f"{sound.duration_s:.1f}")}


def question(
    text: str | None, path: str | None, max_audio_s: float, words: Mapping[str, str]
) -> str | Audio:
    """What was typed, or else what was said in the recording, as the model hears it.

    Raises: InputError if there is neither, AudioError if the file is no sound, silent or longer
    than max_audio_s.
    """
    if text and text.strip():
        return text
    if not path:
        raise InputError(words["conversation_nothing"])
    heard = audio.read(path, sample_rate=audio.INPUT_SAMPLE_RATE)
    return without_silence(audio.check_heard(heard, max_audio_s))


class ReplyView:
    """Text and live sound of one reply while they come, then a report.

    question: the bubble of what was asked.
    """

    def __init__(
        self, reply: Reply, question: Bubble, sample_rate: int, words: Mapping[str, str]
    ) -> None:
        self._question = question
        self._listens = isinstance(reply.asked, Audio)
        self._feed = PlayerFeed(reply.id, sample_rate)
        self._seed = reply.intent.seed
        self._speaks = reply.intent.output == "both"
        self._words = words
        self._heard = ""
        self._text = ""
        self._queue = QueueNote(words)

    def started(self) -> Shown:
        return Shown(player=self._feed.started(), text="", report="")

    def bubbles(self) -> list[Bubble]:
        return [with_heard(self._question, self._heard, self._words), answer_bubble(self._text)]

    def shown(self, event: Event) -> Iterator[Shown]:
        match event:
            case Queued():
                yield from (Shown(report=report) for report in self._queue.changed(event, ""))
            case HeardDelta() if self._listens:
                self._heard += event.text
                yield Shown(heard=self._heard)
            case TextDelta():
                self._text += event.text
                yield Shown(text=self._text)
            case AudioDelta():
                for value in self._feed.sound(event.waveform):
                    yield Shown(player=value)
            case Finished():
                yield Shown(player=self.ended(), report=self._report(event))

    def ended(self) -> str:
        return self._feed.ended()

    def _report(self, finished: Finished) -> str:
        if self._speaks:
            return speech_report(finished, self._seed, self._words)
        return written_report(finished, self._seed, self._words)
