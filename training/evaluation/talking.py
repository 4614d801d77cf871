"""How well a checkpoint converses: questions in wordings that training never has, spoken in voices
that it never met or typed; a second turn; what it cannot know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.conversation import ChatTurn, Conversation
from kimi_demo.errors import InputError
from kimi_demo.voice_activity import without_silence
from training.evaluation import texts
from training.evaluation.bench import Bench, Measurement
from training.evaluation.rows import Figure
from training.evaluation.scores import error_rates, share
from training.texts.dialogue import Dialogue, Exchange, is_right

logger = logging.getLogger(__name__)

Held = list[tuple[Exchange, ChatTurn]]  # one dialogue, as it should go and as it went


def conversing(language: str, aloud: bool) -> Measurement:
    """Shares of right answers to first and second questions, and to those beyond its world; and how
    spoken ones are written down, where the checkpoint tells that.
    """

    def measure(bench: Bench) -> Mapping[str, Figure]:
        def put(question: str, number: int) -> str | Audio:
            if not aloud:
                return question
            sound = bench.voices.unmet(question, language, number)
            return without_silence(sound.resampled(INPUT_SAMPLE_RATE))

        def held(dialogues: list[Dialogue]) -> list[Held]:
            return [hold(bench, d, lambda q, n=n: put(q, n)) for n, d in enumerate(dialogues)]

        known = held(texts.dialogues(language, bench.limit))
        unknown = held(texts.unanswerable(language, bench.limit))
        heard = [(e.question, t.heard_text) for talk in known + unknown for e, t in talk]
        return {
            "first": share(_judged(*talk[0]) for talk in known),
            "second": share(_judged(*talk[1]) for talk in known),
            "unknown": share(_judged(*talk[0]) for talk in unknown),
            "heard": error_rates(heard if any(w for _, w in heard) else [], language),
        }

    return measure


def hold(bench: Bench, dialogue: Dialogue, put: Callable[[str], str | Audio]) -> Held:
    """Asks one question after the other, what came before being remembered."""
    so_far = Conversation()
    for exchange in dialogue.exchanges:
        turn = _answered(bench, so_far, put(exchange.question))
        logger.info("asked: %s -> %s", exchange.question, turn.answer_text)
        so_far = Conversation((*so_far.turns, turn))
    return list(zip(dialogue.exchanges, so_far.turns, strict=True))


def _answered(bench: Bench, so_far: Conversation, question: str | Audio) -> ChatTurn:
    try:
        intent = so_far.intent(question)
        return ChatTurn.of(question, intent.seed, bench.engine.stream(intent))
    except InputError as exc:
        logger.warning("refused: %s", exc)
        return ChatTurn(question)


def _judged(exchange: Exchange, turn: ChatTurn) -> tuple[bool, str]:
    try:
        right = is_right(exchange, turn.answer_text)
    except InputError:  # letters of a script that nobody can read aloud
        right = False
    return right, f"{exchange.question} -> {turn.answer_text}"
