"""Which examples the language model sees: batches of one task each, the tasks drawn by weight."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from training import dialogue, shapes
from training.features import Entry, FeatureCache
from training.turns import Example, ExampleWriter, SpokenTurn, TurnBatch, collate

# Shares of the batches.
TASK_WEIGHTS = {
    "reading": 26,
    "transcription": 28,
    "chat": 26,
    "sounds": 20,
}
MANDARIN_READING = 0.35
SPOKEN_QUESTIONS = 0.7
TWO_TURNS = 0.4
POSITIONS_PER_BATCH = 2400
MAX_ROWS, MIN_ROWS = 48, 8
CODE_NOISE = 0.05  # share of fed codes that are replaced: the model must forgive its own slips


class Curriculum:
    """Endless batches. naming: share of transcriptions that name heard positions, too."""

    def __init__(
        self,
        writer: ExampleWriter,
        cache: FeatureCache,
        weights: Mapping[str, float],
        naming: float,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self._writer, self._device, self._naming = writer, device, naming
        self._rng = random.Random(seed)
        self._generator = torch.Generator().manual_seed(seed)
        makers: dict[str, Callable[[], Iterator[Example]]] = {
            "reading": self._readings,
            "transcription": self._transcriptions,
            "chat": self._chats,
            "sounds": self._sounds,
        }
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._makers = {name: makers[name] for name in self._weights}
        by_voice = _by_voice(cache.entries)
        self._speakers = {
            language: [*by_voice[voice], *by_voice[f"answers-{language}"]]
            for language, voice in shapes.OUTPUT_VOICES.items()
        }
        listened = cache.to_listen()
        self._spoken = [entry for entry in listened if entry.text]
        self._labelled = [entry for entry in listened if entry.tasks]
        self._dialogues = DialogueBook(listened, by_voice)

    def __iter__(self) -> Iterator[tuple[str, TurnBatch]]:
        return self

    def __next__(self) -> tuple[str, TurnBatch]:
        """The task's name and its batch."""
        name = self._rng.choices(tuple(self._weights), tuple(self._weights.values()))[0]
        examples = _filled(self._makers[name]())
        batch = collate(examples, self._writer.vocabulary, self._device)
        spoken = name in ("reading", "chat")
        return name, with_noise(batch, self._generator) if spoken else batch

    def _readings(self) -> Iterator[Example]:
        language = "zh" if self._rng.random() < MANDARIN_READING else "en"
        for entry in self._alike(self._speakers[language]):
            yield self._writer.reading(entry)

    def _transcriptions(self) -> Iterator[Example]:
        named = self._rng.random() < self._naming
        for entry in self._alike(self._spoken):
            yield self._writer.transcription(entry, named)

    def _sounds(self) -> Iterator[Example]:
        while True:
            entry = self._rng.choice(self._labelled)
            by_name = defaultdict(list)
            for task in entry.tasks:
                by_name[task[0]].append(task)
            yield self._writer.task(entry, self._rng.choice(by_name[self._rng.choice([*by_name])]))

    def _chats(self) -> Iterator[Example]:
        turns = 2 if self._rng.random() < TWO_TURNS else 1
        while True:
            drawn = dialogue.draw(self._rng, self._rng.choice(("en", "zh")), turns=turns)
            spoken = self._dialogues.recorded(drawn, self._rng)
            if spoken:
                yield self._writer.chat(spoken)

    def _alike(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        """Random entries of like length, so that little is padded."""
        drawn = sorted(self._rng.sample(entries, min(len(entries), 1000)), key=lambda e: e.length)
        first = self._rng.randrange(max(1, len(drawn) - MAX_ROWS))
        yield from drawn[first:]


class DialogueBook:
    """Finds the recordings of a dialogue's questions and answers."""

    def __init__(self, listened: Sequence[Entry], by_voice: Mapping[str, Sequence[Entry]]) -> None:
        self._questions, self._answers = defaultdict(list), {}
        for entry in listened:
            if entry.voice.removeprefix("heldout-").startswith("questions-"):
                self._questions[entry.text].append(entry)
        for voice, entries in by_voice.items():
            if voice.startswith("answers-"):
                self._answers |= {entry.text: entry for entry in entries}

    def recorded(
        self, drawn: dialogue.Dialogue, rng: random.Random, spoken: float = SPOKEN_QUESTIONS
    ) -> list[SpokenTurn] | None:
        """The dialogue with its recordings; None if an answer was never recorded."""
        turns = []
        for exchange in drawn.exchanges:
            answer = self._answers.get(exchange.answer)
            if answer is None:
                return None
            takes = self._questions[exchange.question]
            heard = rng.choice(takes) if takes and rng.random() < spoken else None
            turns.append(SpokenTurn(exchange.question, heard, answer))
        return turns


def with_noise(batch: TurnBatch, generator: torch.Generator) -> TurnBatch:
    """Replaces a few fed codes by random ones; what was heard stays."""
    is_code = (batch.audio_ids >= shapes.TEXT_VOCABULARY) & ~batch.heard
    chosen = is_code & (torch.rand(is_code.shape, generator=generator) < CODE_NOISE).to(
        is_code.device
    )
    low, high = shapes.TEXT_VOCABULARY, shapes.TEXT_VOCABULARY + shapes.NUM_CODES
    noise = torch.randint(low, high, is_code.shape, generator=generator).to(is_code.device)
    batch.audio_ids[chosen] = noise[chosen]
    return batch


def _filled(examples: Iterator[Example]) -> list[Example]:
    """As many examples as fit the budget of positions, between MIN_ROWS and MAX_ROWS."""
    taken: list[Example] = []
    longest = 0
    for example in examples:
        longest = max(longest, len(example.prompt) + len(example.text_answer))
        if len(taken) >= MIN_ROWS and longest * (len(taken) + 1) > POSITIONS_PER_BATCH:
            break
        taken.append(example)
        if len(taken) == MAX_ROWS:
            break
    return taken


def _by_voice(entries: Sequence[Entry]) -> defaultdict[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.voice].append(entry)
    return found
