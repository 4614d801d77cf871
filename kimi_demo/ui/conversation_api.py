"""The endpoint `/chat`: a conversation without a session, whose history travels with every call.

History is a list of prior turns, the oldest first, as JSON:

    {"question": "what is two plus three?", "answer": "five", "codes": [17, 4, ...]}

A spoken question stands as `"question_wav"`, a WAV file in base64, instead of `"question"`. `codes`
are those of a spoken answer; where they stay with a server behind this one, `"audio_id"` stands for
them. Without either it is remembered as words. Each result holds the history up to and with its own
turn: pass it on to the next call.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from typing import Any

import soundfile

from kimi_demo.audio import Audio, from_samples
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.engine.base import Engine
from kimi_demo.errors import InputError
from kimi_demo.events import collect
from kimi_demo.messages import OutputType
from kimi_demo.ui.conversation_view import Save, question
from kimi_demo.ui.sampling import checked_seed
from kimi_demo.ui.tab import readable_errors
from kimi_demo.ui.view import answer_facts

MAX_HISTORY = 50


class ChatEndpoint:
    """Serves `/chat`; the server remembers nothing between two calls."""

    def __init__(self, engine: Engine, words: Mapping[str, str], save: Save) -> None:
        self._engine = engine
        self._words = words
        self._save = save

    def chat(
        self,
        text: str,
        audio: str | None = None,
        history: list[dict[str, Any]] | None = None,
        output: OutputType = "both",
        seed: int = 0,
    ) -> tuple[str | None, dict[str, object]]:
        """Answers the next turn of a conversation, in speech and text or in text only.

        The facts beside the sound hold the answer's text and figures and, under "history", the
        conversation up to here: pass it on to the next call. The server remembers nothing. Beside
        the answer to a spoken question they hold under "heard" what the model heard, if it tells.

        Args:
            text: The typed question; leave it empty to ask with a sound.
            audio: The spoken question, a wav, flac, ogg, opus or mp3 file; not used beside text.
            history: Turns so far, the oldest first, each {"question": "..." or "question_wav":
                "a WAV file in base64", "answer": "...", "codes": [those of a spoken answer],
                "audio_id": what stands for them, if they are kept elsewhere}.
            output: "both" for speech with its text, "text" for text only.
            seed: The same questions and seeds get the same answers.
        """
        with readable_errors(self._words):
            tasks = self._engine.capabilities.tasks
            asked = question(text, audio, tasks.max_audio_s, self._words)
            told = read_history(history)
            intent = told.intent(asked, checked_seed(seed), output)
            events = list(self._engine.stream(intent))
            turn = ChatTurn.of(asked, intent.seed, events)
            facts = answer_facts(collect(events), intent.seed)
        if isinstance(asked, Audio) and turn.heard_text:
            facts["heard"] = turn.heard_text
        facts["history"] = write_history(told.with_turn(turn))
        return self._save(turn.spoken, "answer.wav") if turn.spoken else None, facts


def read_history(history: Sequence[Any] | None) -> Conversation:
    """The conversation that a caller tells.

    Raises: InputError if it does not have the documented form.
    """
    if not isinstance(history or [], list) or len(history or []) > MAX_HISTORY:
        raise InputError(f"history must be a list of at most {MAX_HISTORY} turns")
    conversation = Conversation()
    for entry in history or []:
        conversation = conversation.with_turn(_turn(entry))
    return conversation


def write_history(conversation: Conversation) -> list[dict[str, object]]:
    return [
        {
            **_question(turn.asked),
            "answer": turn.answer_text,
            "codes": list(turn.answer_codes),
            **({"audio_id": turn.answer_id} if turn.answer_id else {}),
        }
        for turn in conversation.turns
    ]


def _question(asked: str | Audio) -> dict[str, object]:
    if isinstance(asked, str):
        return {"question": asked}
    return {"question_wav": base64.b64encode(asked.wav()).decode()}


def _turn(entry: Any) -> ChatTurn:
    if not isinstance(entry, dict) or not isinstance(entry.get("answer"), str):
        raise InputError("each turn of the history needs a question and an answer")
    codes = entry.get("codes") or []
    if not isinstance(codes, list) or not all(type(code) is int and code >= 0 for code in codes):
        raise InputError("codes in the history must be a list of whole numbers from 0")
    audio_id = entry.get("audio_id", "")
    if not isinstance(audio_id, str):
        raise InputError("an audio_id in the history must be a text")
    return ChatTurn(_asked(entry), entry["answer"], tuple(codes), answer_id=audio_id)


def _asked(entry: dict[str, Any]) -> str | Audio:
    if isinstance(entry.get("question"), str):
        return entry["question"]
    if not isinstance(entry.get("question_wav"), str):
        raise InputError("each turn of the history needs a question or a question_wav")
    try:
        wav = base64.b64decode(entry["question_wav"], validate=True)
        return from_samples(*soundfile.read(io.BytesIO(wav), dtype="float32"))
    except (binascii.Error, soundfile.SoundFileError) as exc:
        raise InputError("question_wav in the history must be a WAV file in base64") from exc
