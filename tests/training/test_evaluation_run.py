"""Whole sections of evaluation with a scripted engine that is right, wrong or refuses, and with
stand-ins for the judge and the voices; the command's two outputs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, Event, Finished, HeardDelta, Started, TextDelta
from kimi_demo.intents import Speak
from kimi_demo.messages import AudioPart, SpokenPart
from kimi_demo.tasks import TaskTable
from tests.voice import voice
from training import evaluate, sounds
from training.evaluation import (
    hearing,
    speaking,
    speed,
    table,
    talking,
    texts,
    understanding,
)
from training.evaluation.bench import Bench
from training.evaluation.rows import Figure, NotMeasuredError
from training.sounds import LabelledSound, Task
from training.sounds.words import read_wordings

RATE = 24_000
CAPABILITIES = Capabilities("toy", "A toy.", "cpu", 1, RATE, ("en", "zh"), TaskTable())
FINISHED = Finished("stop", 1, 1, 1, audio_codes=(5, 6))
SOUND = AudioDelta(voice(1.0, RATE), RATE)
Answers = Callable[[TurnRequest], list[Event]]


@dataclass(frozen=True)
class OneVoice:
    """Everybody sounds alike; only the length tells texts apart."""

    def unmet(self, text: str, language: str, number: int) -> Audio:
        return Audio(voice(1.0 + 0.1 * len(text)), 16_000)

    def flite(self, text: str) -> Audio:
        return self.unmet(text, "en", 0)

    def said(self, text: str, language: str, name: str) -> Audio:
        return self.unmet(text, language, 0)


def bench_of(answers: Answers, heard: str = "", **fields: object) -> Bench:
    engine = ScriptedEngine(answers, CAPABILITIES)
    return Bench(engine, lambda sound, language: heard, OneVoice(), **{"limit": 2} | fields)


def written(text: str) -> list[Event]:
    return [Started(1), TextDelta(text), FINISHED]


def test_what_is_read_aloud_is_judged() -> None:
    bench = bench_of(lambda _: [SOUND, FINISHED], "good morning")
    measure = speaking.reading("en", lambda count: ["Good morning.", "Good evening.", "x"][:count])
    assert measure(bench)["spoken"].value == 0.25
    assert [type(intent) for intent in bench.engine.intents] == [Speak] * 2


def test_a_silent_or_refused_answer_has_no_word() -> None:
    silent = bench_of(lambda _: [FINISHED], "what a judge makes of silence")
    assert speaking.reading("en", lambda _: ["Hello."])(silent)["spoken"].value == 1.0
    engine = ScriptedEngine([SOUND, FINISHED], replace(CAPABILITIES, languages=("en",)))
    refusing = replace(silent, engine=engine)
    assert speaking.reading("zh", lambda _: ["你好。"])(refusing)["spoken"].value == 1.0
    assert not engine.turns


def test_sentences_are_heard_in_unmet_voices() -> None:
    bench = bench_of(lambda _: written("Good morning."))
    figures = hearing.natural("en", lambda _: ["Good morning.", "Good night."])(bench)
    assert figures["heard"].value == 0.25
    assert {intent.language for intent in bench.engine.intents} == {""}


def test_a_synthetic_voice_is_heard_clean_and_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "open_vocabulary", lambda count: ["Good morning."])
    bench = bench_of(lambda _: written("good morning"))
    figures = hearing.flite(bench)
    assert set(figures) == {"clean", "noise", "room", "telephone"}
    assert {figure.value for figure in figures.values()} == {0.0}
    waves = [r.messages[0].parts[1].audio.waveform for r in bench.engine.turns]
    assert len({wave.tobytes() for wave in waves}) == 4


def test_people_are_scored_by_language(tmp_path: Path) -> None:
    for name, text in (("a", "good morning"), ("b", "早上好")):
        (tmp_path / f"{name}.wav").write_bytes(Audio(voice(1.0), 16_000).wav())
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    figures = hearing.people(bench_of(lambda _: written("早上好。"), recordings=tmp_path))
    assert {language: f.value for language, f in figures.items()} == {
        "en": 1.5,
        "zh": 0.0,
    }  # three hanzi for two words
    with pytest.raises(NotMeasuredError, match="--recordings"):
        hearing.people(bench_of(written))


def knowing(language: str, count: int) -> Answers:
    """Answers the typed questions of evaluation as they should be."""
    answers = {}
    for talk in texts.dialogues(language, count) + texts.unanswerable(language, count):
        asked: tuple[str, ...] = ()
        for exchange in talk.exchanges:
            asked += (exchange.question,)
            answers[asked] = exchange.answer

    def answer(request: TurnRequest) -> list[Event]:
        questions = [m.parts[0].text for m in request.messages if m.role == "user"]
        return [TextDelta(answers[tuple(questions)]), SOUND, FINISHED]

    return answer


@pytest.mark.usefixtures("small_texts")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_right_answers_are_counted(language: str) -> None:
    bench = bench_of(knowing(language, 3), limit=3)
    figures = talking.conversing(language, aloud=False)(bench)
    assert [figures[key].value for key in ("first", "second", "unknown")] == [1.0, 1.0, 1.0]
    assert figures["heard"] == Figure(None, 0)
    wrong = talking.conversing(language, aloud=False)(bench_of(lambda _: written("Ahem.")))
    assert [wrong[key].value for key in ("first", "second", "unknown")] == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("small_texts")
def test_spoken_questions_come_with_what_was_said_before() -> None:
    bench = bench_of(lambda _: [HeardDelta("what?"), TextDelta("Yes."), SOUND, FINISHED], limit=1)
    figures = talking.conversing("en", aloud=True)(bench)
    assert figures["heard"].count == 3
    assert figures["heard"].value > 0.5
    second = next(r for r in bench.engine.turns if len(r.messages) == 3)
    asked, answered, last = second.messages
    assert isinstance(asked.parts[0], AudioPart)
    assert answered.parts == (SpokenPart((5, 6), "Yes."),)
    assert isinstance(last.parts[0], AudioPart)
    assert second.output == "both"


def test_captions_must_name_all_that_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    caption = Task("caption", "", "A dog barks and rain falls.")
    drawing(monkeypatch, caption)
    said = iter(["Rain falls, then a dog barks twice.", "A dog barks."] * 2)
    figures = understanding.captions(bench_of(lambda _: written(next(said))))
    assert {key: f.value for key, f in figures.items()} == {"single": 0.5, "several": 0.5}


def test_closed_questions_are_put_with_the_checkpoints_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawing(monkeypatch, *(Task(n, "", "Sad") for n in ("emotion", "event", "scene")))
    bench = bench_of(lambda request: written("sad" if "emotion" in asked(request) else "joy"))
    figures = understanding.choices(bench)
    assert {k: f.value for k, f in figures.items()} == {"emotion": 1.0, "event": 0.0, "scene": 0.0}
    assert all(request.options for request in bench.engine.turns)


def test_open_questions_are_judged_by_kind_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    what, speech = (read_wordings()[kind] for kind in ("what", "speech"))
    english, mandarin = (
        Task("ask", what["en"][-1], "A dog."),
        Task("ask", speech["zh"][-1], "没有。"),
    )
    drawing(monkeypatch, english, mandarin, Task("caption", "", "A dog barks."))
    figures = understanding.questions(bench_of(lambda _: written("a dog")))
    assert (figures["what"].value, figures["what"].count) == (1.0, 2)
    assert (figures["speech"].value, figures["count"].value) == (0.0, None)


def test_real_sounds_are_named(tmp_path: Path) -> None:
    for name in ("dog.wav", "cat.wav"):
        (tmp_path / name).write_bytes(Audio(voice(0.5), 16_000).wav())
    bench = bench_of(lambda _: written("Dog"), sounds=tmp_path)
    assert understanding.real_sounds(bench)["event"].value == 0.5
    with pytest.raises(NotMeasuredError, match="--sounds"):
        understanding.real_sounds(bench_of(written))


def drawing(monkeypatch: pytest.MonkeyPatch, *tasks: Task) -> None:
    item = LabelledSound(voice(1.0), tasks)
    monkeypatch.setattr(understanding, "_voices", lambda _: None)
    monkeypatch.setattr(sounds, "draw", lambda *_, **__: item)


def asked(request: TurnRequest) -> str:
    return request.messages[0].parts[0].text


def test_speed_is_the_middle_of_warm_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(lambda _: [SOUND, FINISHED])
    figures = speed.speaking(bench)
    assert 0 <= figures["first_sound"].value < 1
    assert 0 <= figures["rtf"].value < 1
    monkeypatch.setattr(speed, "_questions", lambda _: [Audio(voice(3.0), 16_000)] * 4)
    assert speed.answering(bench)["first_sound"].count == 3


def test_a_failing_section_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Bench) -> dict[str, Figure]:
        raise InputError("no such thing")

    right = {"heard": Figure(0.15, 3, {"beside": {"CER": 0.05}})}
    sections = {
        "hears-people": hearing.people,
        "hears-flite": broken,
        "hears-english": lambda _: right,
    }
    monkeypatch.setattr(table, "SECTIONS", sections)
    results = table.measured(bench_of(written), sections)
    by_row = {(r["section"], r["row"]): r for r in results}
    assert next(iter(by_row))[0] == "hears-english"
    heard = results[0]
    assert (heard["value"], heard["items"]) == (0.15, 3)
    assert (heard["reached"], heard["stretch_reached"], heard["problem"]) == (True, False, "")
    problems = {r["section"]: r["problem"] for r in results}
    assert problems["hears-flite"] == "failed: InputError: no such thing"
    assert problems["hears-people"].startswith("needs --recordings")
    lines = list(table.readable(results))
    name = "hears English in natural voices it never met"
    assert lines[2] == f"| {name} | WER | 0.15 (CER 0.05) | 0.2 | 0.1 | yes | 3 |"
    assert "| hears `slt` of flite | WER | failed: InputError: no such thing | 0.15 |" in lines[3]


def test_a_card_quotes_the_table_between_its_marks() -> None:
    row = {"row": "names", "measure": "right", "value": 0.97, "at_least": 0.85, "stretch": 0.95}
    results = [{**row, "reached": True, "stretch_reached": True, "items": 7, "problem": ""}]
    once = table.quoted("above\n<!-- figures -->\nold\n<!-- end -->\nbelow\n", "How.", results)
    assert once == table.quoted(once, "How.", results)
    assert "old" not in once
    assert "How.\n\n| |" in once
    assert "| names | right | 0.97 | 0.85 | 0.95 | stretch | 7 |\n<!-- end -->\nbelow\n" in once
    with pytest.raises(InputError, match="marks"):
        table.quoted("no marks", "How.", results)


@pytest.mark.usefixtures("small_texts")
def test_the_command_prints_every_row_and_fills_the_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ScriptedEngine(knowing("en", 2), CAPABILITIES)
    monkeypatch.setattr(evaluate, "open_engine", lambda options: engine)
    card = tmp_path / "CARD.md"
    card.write_text("<!-- figures --><!-- end -->")
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    chosen = ["--only", "typed-en", "files", "--limit", "2", "--card", str(card)]
    evaluate.run(parser.parse_args([*chosen, "--json"]))
    told = json.loads(capsys.readouterr().out)
    assert (told["checkpoint"], told["limit"], told["judge"]) == ("nano", 2, "base")
    rows = {row["row"]: row for row in told["rows"]}
    assert rows["typed question, right answer, English"]["value"] == 1.0
    assert rows["all weights"]["value"] > 1.0
    assert rows["all weights"]["at_least"] == 120.0
    assert "| typed question, right answer, English | right | 1 |" in card.read_text()
    evaluate.run(parser.parse_args(chosen))
    assert capsys.readouterr().out.startswith("| | measure |")
