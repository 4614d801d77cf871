"""Which examples the language model sees: batches of one task each, the tasks drawn by weight."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from training import sizes
from training.cache import Cache, Entry
from training.examples import (
    Asked,
    Example,
    ExampleBatch,
    ExampleWriter,
    Sound,
    Speech,
    collate,
)
from training.hearing import Window, read_windows
from training.shards import Utterance
from training.texts.dialogue import Exchange, draw, recorded_questions, talk_of
from training.texts.spoken import as_spoken, spoken_words
from training.texts.written import as_written

# Shares of the batches.
TASK_WEIGHTS = {
    "timed": 28,  # reading without sound: only the text stream is learned, the hardest of all
    "reading": 12,
    "transcription": 13,
    "splice": 27,  # writing down what was never recorded, put together from what was
    "chat": 16,
    "sounds": 4,
}
MANDARIN = 0.4
POSITIONS_PER_BATCH = 4500
MAX_ROWS, MIN_ROWS = 96, 4
CODE_NOISE = 0.15  # share of fed codes that are replaced: the model must forgive its own slips
CASUAL = 0.3  # share of typed words without capitals or marks
SPLICED = 0.5  # share of questions without a recording that are put together from others
JOINED = 0.15  # share of transcriptions of several sentences in a row
HINTED = 0.35  # share of transcriptions with a hint at the language, one in eight of them wrong
KIND_OF_CHAT = {"drawn": 55, "heard": 20, "unknown": 10, "repeat": 15}
TURNS = (1, 1, 1, 2, 2, 3, 4)


class Recordings:
    """Cached speech with its codes and, heard several times in other conditions, its features.

    passes: numbers of the passes of `hearing` that exist.
    """

    def __init__(self, cache: Cache, writer: ExampleWriter, entries: Sequence[Entry] | None = None):
        self.cache, self._writer = cache, writer
        self.entries = list(cache.entries if entries is None else entries)
        self.passes = sorted(int(p.stem[6:]) for p in cache.root.glob("codes-*.npy"))
        self._places: dict[int, dict[int, tuple[Window, int]]] = {
            number: {
                index: (window, place)
                for window in read_windows(cache.root, number)
                for place, (index, _) in enumerate(window.entries)
            }
            for number in self.passes
        }
        self._index = {entry.start: i for i, entry in enumerate(cache.entries)}
        self._pieces: dict[int, list[int]] = {}
        self._texts: dict[int, str] = {}
        self.silent = int(writer.piece_ids[0])
        self.own = {
            language: [e for e in self.entries if e.utterance.voice == voice]
            for language, voice in sizes.OUTPUT_VOICES.items()
        }

    @cached_property
    def by_words(self) -> dict[tuple[str, str], list[Entry]]:
        """Recordings of each text, by language and words."""
        found = defaultdict(list)
        for entry in self.entries:
            found[_key(entry.utterance.text, entry.utterance.language)].append(entry)
        return found

    def pieces(self, entry: Entry) -> list[int]:
        if entry.start not in self._pieces:
            self._pieces[entry.start] = self._writer.pieces(entry.utterance)
        return self._pieces[entry.start]

    def text(self, entry: Entry) -> str:
        """As people write it."""
        if entry.start not in self._texts:
            u = entry.utterance
            self._texts[entry.start] = as_written(u.text, u.language)
        return self._texts[entry.start]

    def speech(self, entry: Entry) -> Speech:
        """The clean recording, to be said."""
        return Speech(self.pieces(entry), self.cache.array("codes-0")[entry.rows()], recorded=True)

    def sound(
        self, entry: Entry, number: int, rng: random.Random, most: int = 1
    ) -> tuple[Sound, str]:
        """The recording as pass `number` heard it, and up to `most` - 1 that follow it in its
        window, with some of the silence around; and what is said in it.
        """
        window, place = self._places[number][self._index[entry.start]]
        last = min(place + rng.randint(1, most), len(window.entries)) - 1
        before = self._end(window, place - 1) if place else 0
        after = window.entries[last + 1][1] if last + 1 < len(window.entries) else window.length
        begin = rng.randint(before, window.entries[place][1])
        end = rng.randint(self._end(window, last), after)
        pieces = [self.silent] * (end - begin)
        chosen = window.entries[place : last + 1]
        for index, first in chosen:
            said = self.pieces(self.cache.entries[index])
            pieces[first - begin : first - begin + len(said)] = said
        rows = slice(window.start + begin, window.start + end)
        space = " " if entry.utterance.language == "en" else ""
        text = space.join(self.text(self.cache.entries[index]) for index, _ in chosen)
        heard = self.cache.array(f"heard-{number}")[rows]
        return Sound(self.cache.array(f"codes-{number}")[rows], heard, pieces), text

    def heard_pieces(self, number: int) -> Iterator[tuple[list[int], int]]:
        """Of each recording in pass `number` the pieces said and its first row there."""
        for entry in self.entries:
            window, place = self._places[number][self._index[entry.start]]
            yield self.pieces(entry), window.start + window.entries[place][1]

    def _end(self, window: Window, place: int) -> int:
        index, first = window.entries[place]
        return first + self.cache.entries[index].length


class CodeTable:
    """Codes that are likely while a piece is said: they stand in for a missing recording."""

    def __init__(self, recordings: Recordings) -> None:
        found: dict[int, list[int]] = defaultdict(list)
        for entries in recordings.own.values():
            for entry in entries:
                speech = recordings.speech(entry)
                for piece, code in zip(speech.pieces, speech.codes, strict=False):
                    found[piece].append(int(code))
        self._codes = {piece: np.array(codes) for piece, codes in found.items()}
        self._any = np.concatenate(list(self._codes.values()))

    def __call__(self, pieces: Sequence[int], rng: random.Random) -> list[int]:
        drawn = (self._codes.get(piece, self._any) for piece in pieces)
        return [int(codes[rng.randrange(len(codes))]) for codes in drawn]


class Splicer:
    """Speech that was never recorded, as the ears would hear it: steps of other recordings.

    A step continues where the last one was taken from if the same piece follows there, and else
    comes from a place where the same two pieces follow each other. So words are written down by
    what is heard in them, not by the few thousand sentences that somebody recorded.
    """

    CONTINUED = 0.9  # share of the steps that stay with a recording where they can

    def __init__(self, recordings: Recordings) -> None:
        self._cache, self._silent = recordings.cache, recordings.silent
        self._places: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
        self._pieces: dict[tuple[int, int], int] = {}
        for number in recordings.passes:
            for pieces, first in recordings.heard_pieces(number):
                before = self._silent
                for row, piece in enumerate(pieces, first):
                    self._places[before, piece].append((number, row))
                    self._places[piece,].append((number, row))
                    self._pieces[number, row] = before = piece

    def __call__(self, pieces: Sequence[int], rng: random.Random) -> Sound | None:
        """None if a piece was never heard."""
        around = [[self._silent] * rng.randint(0, 6) for _ in range(2)]
        pieces = [*around[0], *pieces, *around[1]]
        rows, before = [], self._silent
        place = None
        for piece in pieces:
            following = place and (place[0], place[1] + 1)
            if self._pieces.get(following) != piece or rng.random() > self.CONTINUED:
                found = self._places.get((before, piece)) or self._places.get((piece,))
                if not found:
                    return None
                following = found[rng.randrange(len(found))]
            rows.append(following)
            place, before = following, piece
        codes = np.array([self._cache.array(f"codes-{n}")[row] for n, row in rows])
        heard = np.stack([self._cache.array(f"heard-{n}")[row] for n, row in rows])
        return Sound(codes, heard, pieces)


class Lessons:
    """Endless batches of (task, batch)."""

    def __init__(
        self,
        writer: ExampleWriter,
        recordings: Recordings,
        timed: Sequence[Utterance],
        sounds: LabelledSounds | None,
        prompts: Mapping[str, str],
        weights: Mapping[str, float],
        seed: int,
        device: str = "cpu",
    ) -> None:
        self._writer, self._recordings, self._sounds_heard = writer, recordings, sounds
        self._prompts, self._device = prompts, device
        self._rng = random.Random(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._table, self._splice = CodeTable(recordings), Splicer(recordings)
        self._timed = {"en": [], "zh": []}
        for utterance in timed:
            self._timed[utterance.language].append(utterance)
        self._timed_by_words = {_key(u.text, u.language): u for u in timed}
        self._timed_pieces: dict[int, list[int]] = {}
        self._makers: dict[str, Callable[[], Iterator[Example]]] = {
            "timed": self._timed_readings,
            "reading": self._readings,
            "transcription": self._transcriptions,
            "splice": self._splices,
            "chat": self._chats,
            "sounds": self._sounds,
        }
        self._heard_questions = {
            language: self._questions_heard(language) for language in sizes.OUTPUT_VOICES
        }

    def _questions_heard(self, language: str) -> list[tuple[Exchange, Entry]]:
        """Recordings that are questions of the small world."""
        spoken = [e for e in self._recordings.entries if e.utterance.language == language]
        texts = [e.utterance.text for e in spoken]
        known = {_key(e.question, language): e for e in recorded_questions(language, texts)}
        pairs = ((known.get(_key(e.utterance.text, language)), e) for e in spoken)
        return [(exchange, entry) for exchange, entry in pairs if exchange]

    def __iter__(self) -> Iterator[tuple[str, ExampleBatch]]:
        return self

    def __next__(self) -> tuple[str, ExampleBatch]:
        name = self._rng.choices(tuple(self._weights), tuple(self._weights.values()))[0]
        examples = _filled(self._makers[name]())
        batch = collate(examples, self._writer.vocabulary, self._device)
        return name, self._with_noise(batch) if name in ("reading", "chat", "timed") else batch

    def _language(self) -> str:
        return "zh" if self._rng.random() < MANDARIN else "en"

    def _timed_texts(self, language: str) -> Iterator[Utterance]:
        """Random texts of like length, so that little is padded."""
        texts = self._timed[language]
        start = self._rng.randrange(len(texts))
        drawn = sorted(
            (texts[(start + i * 7919) % len(texts)] for i in range(400)),
            key=lambda u: len(u.phones),
        )
        first = self._rng.randrange(len(drawn) - MAX_ROWS)
        yield from drawn[first:]

    def _timed_readings(self) -> Iterator[Example]:
        language = self._language()
        for u in self._timed_texts(language):
            yield self._writer.reading(self._typed(as_spoken(u.text, language)), self._made_up(u))

    def _splices(self) -> Iterator[Example]:
        language = self._language()
        for u in self._timed_texts(language):
            sound = self._splice(self._pieces_of(u), self._rng)
            if sound:
                text = as_written(u.text, language)
                yield self._writer.about(sound, self._prompts[self._hint(language)], text)

    def _readings(self) -> Iterator[Example]:
        language = self._language()
        for entry in self._alike(self._recordings.own[language]):
            text = as_spoken(self._recordings.text(entry), language)
            yield self._writer.reading(self._typed(text), self._recordings.speech(entry))

    def _transcriptions(self) -> Iterator[Example]:
        language = self._language()
        entries = [e for e in self._recordings.entries if e.utterance.language == language]
        joined = self._rng.random() < JOINED
        for entry in self._alike(entries):
            number = self._rng.choice(self._recordings.passes)
            sound, text = self._recordings.sound(entry, number, self._rng, 6 if joined else 1)
            yield self._writer.about(sound, self._prompts[self._hint(language)], text)

    def _hint(self, language: str) -> str:
        if self._rng.random() >= HINTED:
            return ""
        wrong = self._rng.random() < 0.125
        return {"en": "zh", "zh": "en"}[language] if wrong else language

    def _sounds(self) -> Iterator[Example]:
        assert self._sounds_heard is not None
        while True:
            sound, question, answer = self._sounds_heard.draw(self._rng)
            yield self._writer.about(sound, question, answer)

    def _chats(self) -> Iterator[Example]:
        while True:
            kind = self._rng.choices(tuple(KIND_OF_CHAT), tuple(KIND_OF_CHAT.values()))[0]
            example = getattr(self, f"_chat_{kind}")(self._language())
            if example:
                yield example

    def _chat_drawn(self, language: str) -> Example | None:
        """A dialogue of the small world; a question that was recorded is often heard."""
        drawn = draw(self._rng, language, turns=self._rng.choice(TURNS))
        *before, last = drawn.exchanges
        said = self._said(last.answer, language)
        if said is None:
            return None
        earlier = []
        for exchange in before:
            past = self._past_speech(exchange.answer, language)
            earlier.append((self._asked(exchange.question, language), past, exchange.answer))
        asked = self._asked(last.question, language)
        return self._writer.chat(earlier, asked, last.question, last.answer, said)

    def _chat_heard(self, language: str) -> Example | None:
        """A question that was recorded."""
        if not self._heard_questions[language]:
            return None
        exchange, entry = self._rng.choice(self._heard_questions[language])
        said = self._said(exchange.answer, language)
        if said is None:
            return None
        asked = Asked(exchange.question, self._heard(entry))
        return self._writer.chat([], asked, exchange.question, exchange.answer, said)

    def _chat_unknown(self, language: str) -> Example | None:
        """Something said that is no question of the small world."""
        entry = self._rng.choice(self._recordings.entries)
        language = entry.utterance.language
        if _key(entry.utterance.text, language) in self._known_questions[language]:
            return None
        answer = self._rng.choice(self._unknown_answers[language])
        said = self._said(answer, language)
        if said is None:
            return None
        text = self._recordings.text(entry)
        return self._writer.chat([], Asked(text, self._heard(entry)), text, answer, said)

    def _chat_repeat(self, language: str) -> Example | None:
        """A sentence that was recorded, asked for: here the speech of an answer is learned."""
        if not self._recordings.own[language]:
            return None
        entry = self._rng.choice(self._recordings.own[language])
        text = self._recordings.text(entry)
        question = self._rng.choice(REPEAT[language]).format(text)
        speech = self._recordings.speech(entry)
        return self._writer.chat(
            [], Asked(self._typed(as_spoken(question, language))), question, text, speech
        )

    @cached_property
    def _known_questions(self) -> dict[str, set]:
        return {
            language: {_key(exchange.question, language) for exchange, _ in rows}
            for language, rows in self._heard_questions.items()
        }

    @cached_property
    def _unknown_answers(self) -> dict[str, list[str]]:
        """How ignorance is admitted: as in the dialogues."""
        found = {}
        for language in sizes.OUTPUT_VOICES:
            branches = (b for b in talk_of(language).branches if b.topic == "unknown")
            found[language] = [b.answer for b in branches if "{" not in b.answer]
        return found

    def _asked(self, question: str, language: str) -> Asked:
        takes = self._recordings.by_words.get(_key(question, language))
        if takes and self._rng.random() < 0.8:
            return Asked(question, self._heard(self._rng.choice(takes)))
        timed = self._timed_by_words.get(_key(question, language))
        spliced = timed and self._rng.random() < SPLICED
        sound = self._splice(self._pieces_of(timed), self._rng) if timed and spliced else None
        if sound:
            return Asked(question, sound)
        return Asked(self._typed(as_spoken(question, language)))

    def _heard(self, entry: Entry) -> Sound:
        number = self._rng.choice(self._recordings.passes)
        return self._recordings.sound(entry, number, self._rng)[0]

    def _typed(self, text: str) -> str:
        """Some people type no capitals and no marks."""
        if self._rng.random() >= CASUAL:
            return text
        text = text.lower() if self._rng.random() < 0.7 else text
        return text.rstrip(".?!。？！") if self._rng.random() < 0.6 else text

    def _said(self, answer: str, language: str) -> Speech | None:
        """An answer's speech: of a recording, or timed without one; None if nobody timed it."""
        takes = self._recordings.by_words.get(_key(answer, language), ())
        own = [e for e in takes if e.utterance.voice == sizes.OUTPUT_VOICES[language]]
        if own:
            return self._recordings.speech(self._rng.choice(own))
        timed = self._timed_by_words.get(_key(answer, language))
        return None if timed is None else self._made_up(timed)

    def _pieces_of(self, utterance: Utterance) -> list[int]:
        key = id(utterance)
        if key not in self._timed_pieces:
            self._timed_pieces[key] = self._writer.pieces(utterance)
        return self._timed_pieces[key]

    def _made_up(self, utterance: Utterance) -> Speech:
        pieces = self._pieces_of(utterance)
        return Speech(pieces, self._table(pieces, self._rng), recorded=False)

    def _past_speech(self, answer: str, language: str) -> Speech:
        """Some speech stands for that of an earlier answer: its words lie beside it."""
        said = self._said(answer, language)
        if said is not None:
            return said
        return self._recordings.speech(self._rng.choice(self._recordings.own[language]))

    def _alike(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        """Random entries of like length, so that little is padded."""
        drawn = sorted(self._rng.sample(entries, min(len(entries), 600)), key=lambda e: e.length)
        yield from drawn[self._rng.randrange(max(1, len(drawn) - MAX_ROWS // 2)) :]

    def _with_noise(self, batch: ExampleBatch) -> ExampleBatch:
        """Replaces a few fed codes by random ones; what was heard stays."""
        first = self._writer.text_ids
        is_code = (batch.audio_ids >= first) & ~batch.heard
        chosen = is_code & (torch.rand(is_code.shape, generator=self._generator) < CODE_NOISE)
        last = first + sizes.NUM_CODES
        noise = torch.randint(first, last, is_code.shape, generator=self._generator)
        batch.audio_ids[chosen] = noise[chosen]
        return batch


REPEAT = {
    "en": (
        "Repeat after me: {}", "Say: {}", "Please say: {}", "Repeat: {}", "Say after me: {}",
        "Can you repeat this? {}", "Say this for me: {}", "Now say: {}",
    ),
    "zh": ("跟我说：{}", "请重复：{}", "请说：{}", "跟我念：{}", "说一遍：{}", "重复一遍：{}"),
}  # fmt: skip


class LabelledSounds:
    """Sounds that the ears have heard, each with questions about it."""

    def __init__(self, root: Path, prompts: Mapping[str, str]) -> None:
        rows = (root / "index.jsonl").read_text(encoding="utf-8").splitlines()
        self.rows = [json.loads(row) for row in rows]
        self._codes = np.load(root / "codes-0.npy", mmap_mode="r")
        self._heard = np.load(root / "heard-0.npy", mmap_mode="r")
        self._prompts = prompts

    def sound(self, row: dict) -> Sound:
        place = slice(row["start"], row["start"] + row["length"])
        return Sound(self._codes[place], self._heard[place])

    def draw(self, rng: random.Random) -> tuple[Sound, str, str]:
        """A sound, a question about it and the answer."""
        row = rng.choice(self.rows)
        by_name = defaultdict(list)
        for task in row["tasks"]:
            by_name[task["name"]].append(task)
        task = rng.choice(by_name[rng.choice(sorted(by_name))])
        answer = task["answer"]
        # The options of closed questions are weighed as sentences.
        answer = answer if answer[-1] in ".!?。！？" else f"{answer}."
        return self.sound(row), task["question"] or self._prompts[task["name"]], answer


def _key(text: str, language: str) -> tuple[str, str]:
    return language, " ".join(spoken_words(text, language))


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
