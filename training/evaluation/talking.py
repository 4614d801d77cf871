"""How well a checkpoint converses: held-out wordings, spoken or typed, and questions that go on.

What is written is judged by the words a right answer must have; what is said, by a listener who
should hear what is written.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kimi_demo.audio import Audio
from kimi_demo.events import Answer
from kimi_demo.services.conversation import Conversation, Turn
from training import dialogue, measures
from training.dialogue import Dialogue
from training.evaluation import voices
from training.evaluation.bench import Bench, sound_of
from training.evaluation.voices import LANGUAGES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """How the last question of a dialogue was answered."""

    dialogue: Dialogue
    answer: Answer

    @property
    def is_right(self) -> bool:
        return dialogue.is_right(self.dialogue.exchanges[-1], self.answer.text)


def conversation(bench: Bench) -> dict[str, object]:
    """Shares of right answers: one question spoken, one typed, and the second of two spoken."""
    return {
        language: {
            "spoken": _rightness(spoken_replies(bench, language)),
            "typed": _rightness(_replies(bench, language, turns=1, aloud=False)),
            "two_turns": _rightness(_replies(bench, language, turns=2, aloud=True)),
        }
        for language in LANGUAGES
    }


def conversation_spoken(bench: Bench) -> dict[str, object]:
    """Error rates of the replies' sound against their own text."""
    return {language: _spoken_out(bench, language) for language in LANGUAGES}


@lru_cache(maxsize=len(LANGUAGES))  # both sections look at the same answers
def spoken_replies(bench: Bench, language: str) -> tuple[Reply, ...]:
    """The answers to single spoken questions."""
    return _replies(bench, language, turns=1, aloud=True)


def _replies(bench: Bench, language: str, turns: int, aloud: bool) -> tuple[Reply, ...]:
    """Held-out dialogues; each is spoken in one of the voices of training."""
    rng = random.Random(f"{bench.seed}/{language}/{turns}")
    speakers = list(voices.trained(language).values()) if aloud else []
    replies = []
    for held_out in dialogue.held_out_dialogues(language, bench.limit, turns):
        voice = rng.choice(speakers) if aloud else str
        questions = [voice(exchange.question) for exchange in held_out.exchanges]
        replies.append(Reply(held_out, converse(bench, questions)))
        asked = " / ".join(exchange.question for exchange in held_out.exchanges)
        logger.info("asked: %s -> %s", asked, replies[-1].answer.text)
    return tuple(replies)


def converse(bench: Bench, questions: Sequence[str | Audio]) -> Answer:
    """Asks one question after the other, what came before being remembered; the last answer."""
    *earlier, last = questions
    so_far = Conversation()
    for question in earlier:
        answer = _next_answer(bench, so_far, question)
        codes = answer.finished.audio_codes
        so_far = so_far.with_turn(Turn(question, answer.text, codes, finished=answer.finished))
    return _next_answer(bench, so_far, last)


def _next_answer(bench: Bench, so_far: Conversation, question: str | Audio) -> Answer:
    return bench.answer(lambda tasks: so_far.request(tasks, question, bench.seed))


def _rightness(replies: Sequence[Reply]) -> dict[str, object]:
    """The share of right answers, over all and by topic."""
    by_topic: defaultdict[str, list[bool]] = defaultdict(list)
    for reply in replies:
        by_topic[reply.dialogue.topic].append(reply.is_right)
    topics = {topic: measures.share(flags) for topic, flags in sorted(by_topic.items())}
    return {**measures.rightness(r.is_right for r in replies), "topics": topics}


def _spoken_out(bench: Bench, language: str) -> dict[str, float | int | None]:
    """A reply without a word in writing has nothing that its sound could be compared with."""
    listener = bench.listener(language)
    answers = [reply.answer for reply in spoken_replies(bench, language)]
    worded = [answer for answer in answers if measures.bare(answer.text, language)]
    heard = [listener(sound_of(answer)) for answer in worded]
    return measures.error_rates([answer.text for answer in worded], heard, language)
