"""Batches of the language model's tasks: what is asked, what is answered, where targets stand."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from training import curriculum, dialogue, record_tasks, shapes
from training.curriculum import Curriculum, DialogueBook, with_noise
from training.features import FRAMES_PER_POSITION, Entry, FeatureCache
from training.phones import PHONES
from training.pronunciation import Spelled
from training.train_text_tokenizer import mandarin_characters, phone_token, train
from training.turns import IGNORED, ExampleWriter, SpokenTurn, collate

DELAY = shapes.AUDIO_DELAY
SOUND_TASKS = (
    ("caption", "", "a dog is barking."),
    ("event", "", "dog"),
    ("ask", "有人在说话吗？", "没有。"),
)


class Speller:
    """A dictionary in which every word is pronounced alike."""

    def __call__(self, text: str) -> list[Spelled]:
        first, *others = text.split(" ")
        return [Spelled(first, ("hh", "ay")), *(Spelled(f" {o}", ("hh", "ay")) for o in others)]

    def phones(self, text: str) -> list[str]:
        return [phone for word in self(text) for phone in word.phones]


def _entries() -> Iterator[Entry]:
    """Both output voices, every answer, the questions of some dialogues, labelled sounds."""
    spoken = [("slt", f"it is {n}.") for n in "abcdefghijklmnopqrst"]
    spoken += [("mandarin", f"我有{n}。") for n in "一二三四五六七八九十"]
    for language in ("en", "zh"):
        asked = record_tasks.texts_of(language, 1, dialogues=150)[0]
        spoken += [(f"answers-{language}", text) for text in dialogue.answers(language)]
        spoken += [(f"questions-{language}", text) for text in asked]
    start = 0
    for number, (voice, text) in enumerate(spoken):
        yield Entry(text, voice, start, 4 + number % 9)
        start += 4 + number % 9
    for _ in range(10):
        yield Entry("", "sounds", start, 12, None, SOUND_TASKS)
        start += 12


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    root, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    entries = list(_entries())
    total = entries[-1].start + entries[-1].length
    lines = (json.dumps(asdict(entry)) + "\n" for entry in entries)
    (root / "index.jsonl").write_text("".join(lines))
    np.save(root / "codes.npy", rng.integers(shapes.NUM_CODES, size=total).astype(np.int16))
    phones = rng.integers(len(PHONES), size=total * FRAMES_PER_POSITION).astype(np.uint8)
    np.save(root / "phones.npy", phones)
    np.save(root / "acoustic.npy", rng.random((total, 6), np.float32).astype(np.float16))
    return FeatureCache(root)


@pytest.fixture(scope="module")
def writer(cache: FeatureCache, tmp_path_factory: pytest.TempPathFactory) -> ExampleWriter:
    folder: Path = tmp_path_factory.mktemp("text")
    texts = ["the weather is fine.", "how are you?"] * 5
    tokenizer = train(texts, 20, folder, mandarin_characters(20, 1))
    return ExampleWriter(cache, tokenizer, shapes.task_table(), Speller())


def _batches(cache: FeatureCache, writer: ExampleWriter, task: str, naming: float = 0.0):
    return Curriculum(writer, cache, {task: 1.0}, naming, seed=5)


def _of(cache: FeatureCache, voice: str) -> list[Entry]:
    return [entry for entry in cache.entries if entry.voice == voice]


def _phone_ids(writer: ExampleWriter, names: list[str]) -> list[int]:
    return [writer._tokenizer.special_ids[phone_token(name)] for name in names]


@pytest.mark.parametrize("task", curriculum.TASK_WEIGHTS)
def test_targets_stand_where_the_task_has_answers(cache, writer, task: str) -> None:
    batches = _batches(cache, writer, task)
    for _, batch in (next(batches) for _ in range(3)):
        assert (batch.text_targets != IGNORED).any(1).all()
        speaks = task in ("reading", "chat")
        assert ((batch.audio_targets != IGNORED).any(1) == speaks).all()
        assert len(batch.features) == batch.heard.sum()
        if task == "reading":
            assert not batch.heard.any()
        if task in ("transcription", "sounds"):
            assert batch.heard.any(1).all()
        assert (batch.text_targets[batch.heard] == IGNORED).all()


@pytest.mark.parametrize("task", curriculum.TASK_WEIGHTS)
def test_batches_keep_their_budget(cache, writer, task: str) -> None:
    batches = _batches(cache, writer, task)
    for _, batch in (next(batches) for _ in range(4)):
        rows, positions = batch.text_ids.shape
        assert 1 <= rows <= curriculum.MAX_ROWS
        within = rows * positions <= curriculum.POSITIONS_PER_BATCH
        assert within or rows <= curriculum.MIN_ROWS


def test_tasks_without_weight_are_never_drawn(cache, writer) -> None:
    weights = {"reading": 1, "transcription": 0, "chat": 0, "sounds": 3}
    mixed = Curriculum(writer, cache, weights, 0.0, seed=1)
    drawn = [next(mixed)[0] for _ in range(40)]
    assert set(drawn) == {"reading", "sounds"}
    assert drawn.count("sounds") > drawn.count("reading")
    again = Curriculum(writer, cache, weights, 0.0, seed=1)
    assert [next(again)[0] for _ in range(40)] == drawn


def test_a_share_of_transcriptions_names_what_is_heard(cache, writer) -> None:
    _, named = next(_batches(cache, writer, "transcription", naming=1.0))
    assert (named.text_targets[named.heard] != IGNORED).all()


def test_heard_positions_are_named_by_their_phones(cache, writer) -> None:
    entry = _of(cache, "questions-en")[0]
    batch = collate([writer.transcription(entry, name_heard=True)], writer.vocabulary, "cpu")
    frames = cache.phones[entry.rows(FRAMES_PER_POSITION)][2::FRAMES_PER_POSITION]
    expected = _phone_ids(writer, [PHONES[i] for i in frames])
    assert batch.text_targets[batch.heard].tolist() == expected


def test_a_transcript_is_phones_and_letters_word_by_word(cache, writer) -> None:
    entry = next(e for e in _of(cache, "slt") if e.text == "it is c.")
    answer = writer.transcription(entry).text_answer
    phones, encode = _phone_ids(writer, ["hh", "ay"]), writer._tokenizer.encode
    expected = []
    for word in ("it", " is", " c."):
        expected += phones + [encode(letter)[0] for letter in word]
    assert answer == [*expected, writer.vocabulary.text_eos]


@pytest.mark.parametrize("heard", [False, True])
def test_a_chat_names_the_question_then_writes_then_speaks(cache, writer, heard: bool) -> None:
    question = _of(cache, "questions-en")[3]
    answer = _of(cache, "answers-en")[2]
    turn = SpokenTurn(question.text, question if heard else None, answer)
    example, ids = writer.chat([turn]), writer.vocabulary
    named = _phone_ids(writer, ["hh", "ay"] * len(question.text.split()))
    written = writer._tokenizer.encode(answer.text)
    frames = cache.phones[answer.rows(FRAMES_PER_POSITION)][2::FRAMES_PER_POSITION]
    spoken = _phone_ids(writer, [PHONES[i] for i in frames])
    said = [*named, *written, *spoken, ids.text_eos]
    assert example.text_targets == said + [IGNORED] * DELAY
    codes = [ids.audio_id(int(code)) for code in cache.codes[answer.rows(1)]]
    first = example.audio_answer.index(codes[0])
    assert first == len(named) + len(written) + DELAY
    assert example.audio_answer[first:] == [*codes, ids.msg_end]
    assert set(example.audio_answer[:first]) == {ids.text_blank}
    assert example.audio_targets[:DELAY] == [IGNORED] * DELAY
    assert example.audio_targets[DELAY:] == example.audio_answer[DELAY:]
    assert sum(example.prompt.heard) == (question.length if heard else 0)
    typed = writer._tokenizer.encode(question.text)
    assert (example.prompt.text_ids[1 : 1 + len(typed)] == typed) != heard


def test_the_second_turn_remembers_what_was_said(cache, writer) -> None:
    first, second = _of(cache, "answers-zh")[:2]
    asked = _of(cache, "questions-zh")[:2]
    turns = [SpokenTurn(asked[0].text, asked[0], first), SpokenTurn(asked[1].text, None, second)]
    example, ids = writer.chat(turns), writer.vocabulary
    codes = [ids.audio_id(int(code)) for code in cache.codes[first.rows(1)]]
    remembered = [
        audio
        for audio, heard in zip(example.prompt.audio_ids, example.prompt.heard, strict=True)
        if ids.is_audio(audio) and not heard
    ]
    assert remembered == codes
    text = "".join(map(chr, example.prompt.text_ids))
    assert "".join(map(chr, writer._tokenizer.encode(first.text))) in text
    spoken = [audio for audio in example.audio_answer if ids.is_audio(audio)]
    assert spoken == [ids.audio_id(int(code)) for code in cache.codes[second.rows(1)]]


def test_questions_about_sounds_are_worded_as_requests_are(cache, writer) -> None:
    entry, tasks, ids = _of(cache, "sounds")[0], shapes.task_table(), writer.vocabulary
    wordings = (
        (SOUND_TASKS[0], tasks.caption_prompts[""], "a dog is barking."),
        (SOUND_TASKS[1], tasks.choices["sound"].question, "dog."),
        (SOUND_TASKS[2], "有人在说话吗？", "没有。"),
    )
    for task, question, answer in wordings:
        example = writer.task(entry, task)
        asked = writer._tokenizer.encode(question)
        assert example.prompt.text_ids[1 : 1 + len(asked)] == asked
        assert example.text_answer == [*writer._tokenizer.encode(answer), ids.text_eos]
        assert set(example.audio_targets) == {IGNORED}
        assert sum(example.prompt.heard) == entry.length
    assert "dog." in {option.answer for option in tasks.choices["sound"].weighed()}


def test_a_dialogue_is_spoken_only_if_its_answers_are_recorded(cache) -> None:
    voices = ("answers-en", "questions-en")
    book = DialogueBook(cache.entries, {voice: _of(cache, voice) for voice in voices})
    question, answer = _of(cache, "questions-en")[0], _of(cache, "answers-en")[0]
    known = dialogue.Exchange(question.text, answer.text, "")
    drawn, rng = dialogue.Dialogue("en", "topic", (known, known)), random.Random(1)
    assert [turn.heard for turn in book.recorded(drawn, rng, spoken=1.0)] == [question] * 2
    assert [turn.heard for turn in book.recorded(drawn, rng, spoken=0.0)] == [None] * 2
    assert [turn.answer for turn in book.recorded(drawn, rng)] == [answer] * 2
    rare = dialogue.Exchange("who knows?", answer.text, "")
    turns = book.recorded(dialogue.Dialogue("en", "topic", (rare,)), rng, spoken=1.0)
    assert turns == [SpokenTurn("who knows?", None, answer)]
    lost = dialogue.Exchange(question.text, "nobody ever said this.", "")
    assert book.recorded(dialogue.Dialogue("en", "topic", (known, lost)), rng) is None


def test_noise_replaces_a_few_fed_codes_and_nothing_that_was_heard(cache, writer) -> None:
    entries = [entry for entry in cache.entries if entry.text][:200]
    examples = [writer.reading(entry) for entry in entries]
    examples += [writer.transcription(entry) for entry in entries]
    clean = collate(examples, writer.vocabulary, "cpu")
    noisy = collate(examples, writer.vocabulary, "cpu")
    with_noise(noisy, torch.Generator().manual_seed(1))
    changed = clean.audio_ids != noisy.audio_ids
    codes = (clean.audio_ids >= shapes.TEXT_VOCABULARY) & ~clean.heard
    assert not changed[~codes].any()
    share = float(changed[codes].float().mean())
    assert share == pytest.approx(curriculum.CODE_NOISE, rel=0.4)
    assert (noisy.audio_ids[codes] >= shapes.TEXT_VOCABULARY).all()
    assert torch.equal(clean.audio_targets, noisy.audio_targets)
