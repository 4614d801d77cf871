"""Evaluation: its figures on made-up sounds and sentences, and whole sections with scripted engines
that are right, wrong or refuse.
"""

import dataclasses
import random
from types import SimpleNamespace

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.choices import ChoiceTask
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.errors import InputError
from kimi_demo.events import AudioDelta, Finished, TextDelta, Timings
from kimi_demo.messages import AudioPart, SpokenPart
from kimi_demo.tasks import TaskTable
from training import dialogue, evaluate, measures
from training.domain import SENTENCES
from training.evaluation import hearing, new_words, speaking, table, talking, understanding
from training.evaluation import voices as voices_module
from training.evaluation.bench import Bench
from training.recognizer import Recognizer, prepared
from training.sounds import Item
from training.synthesizers import SynthesizerUnavailableError

RATE = 24_000


def tone(seconds, level=0.5, silence_s=0.0):
    wave = level * np.sin(np.arange(round(seconds * RATE)) / 10)
    padded = np.pad(wave, (0, round(silence_s * RATE)))
    return Audio(padded.astype(np.float32), RATE)


def test_error_rates_ignore_case_and_punctuation_alone():
    rates = measures.error_rates(["It's ten O'Clock, now!", "yes."], ["its ten oclock now", "yes"])
    assert rates == {"wer": 0.0, "cer": 0.0, "count": 2}
    assert measures.error_rates(["one two three four"], ["one too four"])["wer"] == 0.5
    assert measures.error_rates(["one two", "three"], ["", "three"])["wer"] == pytest.approx(0.6667)
    assert measures.error_rates([], []) == {"wer": None, "cer": None, "count": 0}


def test_mandarin_is_counted_in_hanzi():
    same = measures.error_rates(["你好，小美。"], ["你好 小美 hello"], "zh")
    assert same == {"cer": 0.0, "count": 1}
    assert measures.error_rates(["今天下雨。"], ["今天下雪。"], "zh")["cer"] == 0.25
    assert measures.error_rates(["今天下雨。"], ["it rains"], "zh")["cer"] == 1.0


def test_answers_are_compared_word_by_word():
    assert measures.same_words("a dog and a bell.", "A dog, and a bell")
    assert measures.same_words("两声。", "两声")
    assert not measures.same_words("a dog.", "a dog and a bell.")
    assert measures.rightness([True, False, True, True]) == {"right": 0.75, "count": 4}
    assert measures.rightness([]) == {"right": None, "count": 0}


def test_a_missed_end_needs_speech_not_silence():
    assert measures.speech_end_s(tone(1.0, silence_s=2.0)) == pytest.approx(1.0, abs=0.03)
    assert measures.speech_end_s(tone(1.0, level=0.0)) == 0.0
    assert measures.speech_end_s(Audio(np.zeros(0, np.float32), RATE)) == 0.0
    original = tone(2.0, silence_s=0.1)
    assert measures.runs_on(tone(3.0), original)
    assert not measures.runs_on(tone(2.0, silence_s=3.0), original)
    assert not measures.runs_on(tone(2.4), original)


def test_clipping_is_a_share_of_samples():
    assert measures.clipped_share(np.array([0.0, 1.0, -1.0, 0.5])) == 0.5
    assert measures.clipped_share(np.zeros(0)) == 0.0


def test_spread():
    assert measures.spread([]) is None
    assert measures.spread(range(11)) == {"p10": 1.0, "median": 5.0, "p90": 9.0}


def test_the_recogniser_hears_every_sound_at_one_level():
    loud, quiet = prepared(tone(1.0, 0.9)), prepared(tone(1.0, 0.01))
    assert np.abs(loud).max() == pytest.approx(0.7, abs=1e-4)
    assert np.abs(loud - quiet).max() < 0.01
    assert len(loud) == pytest.approx(16_000 + 2 * 3_200, abs=10)
    assert prepared(Audio(np.zeros(0, np.float32), RATE)).tolist() == [0.0] * 6_400


# ---- asking -------------------------------------------------------------------------------------

CLOSED = {
    name: ChoiceTask(f"which {name}?", question.options, lettered=False)
    for name, question in understanding.CHOICES.items()
}
FINISHED = Finished("stop", 1, 2, 3, Timings(0.1, 0.2, 0.5, 1.0), (5, 6, 7))


def written(text):
    return [TextDelta(text), FINISHED]


def bench_of(answer_to, ear=lambda _: "", **values):
    capabilities = Capabilities("nano", "", "cpu", 0, RATE, tasks=TaskTable(choices=CLOSED))
    return Bench(ScriptedEngine(answer_to, capabilities), ear, **values)


def test_a_refusal_is_an_empty_answer():
    def too_long(_):
        raise InputError("too long")

    assert bench_of(lambda _: written("yes")).written(tone(0.01), "en") == ""
    assert bench_of(too_long).written(tone(1.0), "en") == ""
    assert bench_of(lambda _: written("yes")).written(tone(1.0), "en") == "yes"


# ---- speaking -----------------------------------------------------------------------------------


def test_speech_figures_describe_the_sounds(tmp_path):
    def answer_to(request):
        audio_s = 3.0 if "babble" in request.messages[0].parts[0].text else 1.0
        timings = Timings(None, 0.1 * audio_s, 0.5, audio_s)
        delta = AudioDelta(tone(audio_s, level=1.0).waveform, RATE)
        return [delta, Finished("stop" if audio_s == 1.0 else "length", 1, 0, 12, timings)]

    texts = ["plain one", "babble two", "beyond the limit"]
    bench = bench_of(answer_to, Recognizer(), seed=4, limit=2, keep=tmp_path)
    figures = speaking.evaluate_speech(bench, texts, "en", bench.ear, lambda _: tone(1.0))
    assert figures["count"] == 2
    assert figures["wer"] >= 1.0  # a tone holds no word
    assert figures["original_wer"] >= 1.0
    assert figures["length_ratio"]["mean"] == 2.0
    assert figures["run_on_share"] == figures["unfinished_share"] == 0.5
    assert figures["silent_share"] == 0.0
    assert 0.01 < figures["clipped_share"] < 0.1
    assert figures["first_sound_s"]["median"] == pytest.approx(0.2)
    assert figures["rtf"]["median"] == pytest.approx((0.5 + 0.5 / 3) / 2, abs=1e-3)
    assert {request.seed for request in bench.engine.requests} == {4}
    kept = {path.name for path in (tmp_path / "en").iterdir()}
    assert kept == {"1.wav", "2.wav", "heard.tsv"}


def test_without_the_original_voice_nothing_is_compared():
    bench = bench_of(lambda _: [Finished("stop", 1, 0, 0, Timings(None, None, 0.1, 0.0))])
    figures = speaking.evaluate_speech(bench, ["hello"], "en", bench.ear, None)
    assert figures["original_wer"] is figures["length_ratio"] is None
    assert (figures["wer"], figures["silent_share"]) == (1.0, 1.0)
    assert figures["rtf"] is None
    assert "original_wer" not in speaking.evaluate_speech(bench, ["你好"], "zh", bench.ear, None)


def test_mandarin_speech_is_judged_by_the_checkpoint_and_so_is_the_original(monkeypatch, tmp_path):
    """The engine says everything in a second, and hears the original's two seconds amiss."""

    def answer_to(request):
        parts = request.messages[0].parts
        if len(parts) == 1:
            return [AudioDelta(tone(1.0).waveform, RATE), FINISHED]
        return written("你好吗" if parts[1].audio.duration_s < 1.5 else "你好")

    kept = tmp_path / "heldout.txt"
    kept.write_text("你好吗？\n", encoding="utf-8")
    held_out = dataclasses.replace(speaking.domain_zh.SENTENCES, held_out_path=kept)
    monkeypatch.setattr(speaking.domain_zh, "SENTENCES", held_out)
    monkeypatch.setattr(voices_module, "original", lambda _: lambda _: tone(2.0))
    figures = speaking.speech_zh(bench_of(answer_to))
    assert figures["cer"] == 0.0
    assert figures["original_cer"] == pytest.approx(1 / 3, abs=1e-3)


# ---- hearing ------------------------------------------------------------------------------------


def by_length(request):
    sound = request.messages[0].parts[1].audio
    return written("good morning" if sound.duration_s < 1.5 else "good evening")


KNOWN = {"short": lambda _: tone(1.0), "long": lambda _: tone(2.0)}


def test_hearing_is_judged_voice_by_voice_and_together():
    bench = bench_of(by_length, limit=1)
    figures = hearing.by_voice(bench, ["Good morning.", "No."], KNOWN, "en")
    assert figures["voices"]["short"]["wer"] == 0.0
    assert figures["voices"]["long"]["wer"] == 0.5
    assert (figures["clean"]["wer"], figures["clean"]["count"]) == (0.25, 2)


def test_degraded_voices_take_turns():
    bench = bench_of(by_length)
    figures = hearing.degraded(bench, ["Good morning."] * 3, KNOWN, "en")
    assert set(figures) == {"noise", "room", "telephone"}
    assert all(each["count"] == 3 for each in figures.values())
    assert all(each["wer"] == pytest.approx(1 / 6, abs=1e-3) for each in figures.values())


def test_a_degraded_voice_is_as_loud_as_asked_and_repeats():
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    clean = Audio(wave.astype(np.float32), 16_000)
    noisy = voices_module.degraded(lambda _: clean, "noise")
    first, again, other = noisy("a"), noisy("a"), noisy("b")
    power = np.mean(clean.waveform**2) / np.mean((first.waveform - clean.waveform) ** 2)
    assert 10 * np.log10(power) == pytest.approx(15.0, abs=0.1)
    assert np.array_equal(first.waveform, again.waveform)
    assert not np.array_equal(first.waveform, other.waveform)


# ---- talking ------------------------------------------------------------------------------------


def knowing(language, turns):
    """Answers the held-out questions of these dialogues, typed, rightly."""
    known = dialogue.held_out_dialogues(language, 4, turns)
    answers = {d.exchanges[-1].question: d.exchanges[-1].answer for d in known}

    def answer_to(request):
        asked = request.messages[-1].parts[0].text
        delta = AudioDelta(tone(1.0).waveform, RATE)
        return [TextDelta(answers.get(asked, "well.")), delta, FINISHED]

    return answer_to


@pytest.mark.parametrize("language", ["en", "zh"])
def test_right_answers_are_counted(language):
    bench = bench_of(knowing(language, 1), limit=4)
    replies = talking._replies(bench, language, turns=1, aloud=False)
    assert [reply.is_right for reply in replies] == [True] * 4
    wrong = bench_of(lambda _: written("well."), limit=4)
    assert not any(r.is_right for r in talking._replies(wrong, language, turns=1, aloud=False))


def test_the_second_question_comes_with_the_first_and_its_spoken_answer():
    bench = bench_of(lambda _: written("five."))
    first, second = tone(1.0), tone(2.0)
    assert talking.converse(bench, [first, second]).text == "five."
    asked, answered, last = bench.engine.requests[-1].messages
    assert asked.parts == (AudioPart(first),)
    assert answered.parts == (SpokenPart((5, 6, 7), "five."),)
    assert last.parts == (AudioPart(second),)
    assert {request.output for request in bench.engine.requests} == {"both"}


def test_replies_are_spoken_in_by_drawn_voices_and_their_sound_is_judged(monkeypatch):
    monkeypatch.setattr(talking.voices, "trained", lambda _: KNOWN)
    replying = [TextDelta("it is five."), AudioDelta(tone(1.0).waveform, RATE), FINISHED]
    bench = bench_of(lambda _: replying, lambda _: "it is four", limit=6)
    figures = talking._spoken_out(bench, "en")
    assert figures["wer"] == pytest.approx(1 / 3, abs=1e-3)
    heard = {r.messages[0].parts[0].audio.duration_s for r in bench.engine.requests}
    assert heard == {1.0, 2.0}
    asked = len(bench.engine.requests)
    talking.spoken_replies(bench, "en")
    assert len(bench.engine.requests) == asked  # both sections share the answers
    mute = bench_of(lambda _: [FINISHED], limit=2)
    assert talking._spoken_out(mute, "en") == {"wer": None, "cer": None, "count": 0}


def test_figures_of_a_conversation_name_the_topics():
    drawn = dialogue.held_out_dialogues("en", 2)
    answers = [SimpleNamespace(text=drawn[0].exchanges[0].answer), SimpleNamespace(text="well.")]
    replies = [talking.Reply(d, a) for d, a in zip(drawn, answers, strict=True)]
    assert talking._rightness(replies) == {
        "right": 0.5,
        "count": 2,
        "topics": {drawn[0].topic: 1.0, drawn[1].topic: 0.0},
    }


# ---- understanding ------------------------------------------------------------------------------

NOISE = np.random.default_rng(0).integers(-9000, 9000, 16_000).astype(np.int16)


def item_of(*names, **tasks):
    events = tuple((name, 100 * n, 100 * n + 500) for n, name in enumerate(names))
    return Item(NOISE, events, None, tuple((t, q, a) for t, (q, a) in tasks.items()))


@pytest.fixture
def drawing(monkeypatch):
    """Makes every draw give one item."""

    def install(item):
        monkeypatch.setattr(understanding, "draw_item", lambda *_, **__: item)

    return install


def test_captions_must_name_all_that_sounds(drawing):
    drawing(item_of("dog", "bell"))
    answers = iter(
        ["a dog is barking and a bell is ringing.", "a dog is barking.", "rain, dog, bell."]
    )
    figures = understanding._caption_figures(
        understanding._captioned(
            bench_of(lambda _: written(next(answers)), limit=3), ("mixture",), "mixture"
        )
    )
    assert figures["right"] == pytest.approx(2 / 3, abs=1e-3)
    assert figures["exact"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["missed"] == {"dog": 1, "bell": 1}


def test_choices_are_weighed_among_the_options(drawing):
    drawing(item_of("dog", event=("", "dog"), scene=("", "street"), emotion=("", "sad")))
    answers = {"emotion": "sad", "sound": "dog", "scene": "forest"}

    def answer_to(request):
        [name] = [
            n for n, task in CLOSED.items() if task.question == request.messages[0].parts[0].text
        ]
        assert tuple(o.label for o in request.options) == CLOSED[name].options
        return written(answers[name])

    figures = understanding.choices(bench_of(answer_to, limit=2))
    assert {name: each["right"] for name, each in figures.items()} == {
        "emotion": 1.0,
        "sound": 1.0,
        "scene": 0.0,
    }
    assert figures["scene"] == {"right": 0.0, "count": 2, "missed": {"street": 2}}


def test_open_questions_are_judged_by_kind_and_language():
    def answer_to(request):
        return written("Yes" if request.messages[0].parts[0].text.isascii() else "没有。")

    figures = understanding._asked(bench_of(answer_to, limit=4), "speech")
    rng, kinds = random.Random("0/speech"), understanding.ASKED_OF["speech"][:4]
    drawn = [understanding.draw_item(rng, kind, held_out=True) for kind in kinds]
    voiced = sum(any("speaking" in name for name, _, _ in item.events) for item in drawn)
    assert (figures["en"], figures["zh"]) == (voiced / 4, 1 - voiced / 4)
    assert figures["count"] == 8


@pytest.mark.parametrize("kind", understanding.ASKED_OF)
def test_every_kind_of_question_finds_items_with_both_languages(kind):
    items = understanding._items(bench_of(written), understanding.ASKED_OF[kind], kind)
    questions = next(q for q in (understanding._questions(item, kind) for item in items) if q)
    assert set(questions) == {"en", "zh"}
    assert all(question and answer for question, answer in questions.values())


# ---- the whole ----------------------------------------------------------------------------------


def test_the_table_says_what_was_reached():
    results = {
        "speech_en": {"wer": 0.2, "original_wer": 0.11, "count": 60},
        "conversation": {"en": {"spoken": {"right": 0.89, "count": 9}}},
        "choices": {"note": "no espeak"},
    }
    rows = {row["task"]: row for row in table.table(results)}
    assert len(rows) == len(table.FIGURES)
    assert rows["text to speech, English"] == {
        "task": "text to speech, English",
        "measure": "WER, pocketsphinx",
        "value": 0.2,
        "aim": "<= 0.20",
        "reached": True,
        "count": 60,
    }
    original = rows["text to speech, English: the original voice"]
    assert (original["value"], original["aim"], original["reached"]) == (0.11, "reported", None)
    spoken = rows["conversation, English, spoken in"]
    assert (spoken["aim"], spoken["reached"]) == (">= 0.90", False)
    assert rows["emotion"]["value"] is rows["emotion"]["reached"] is None


def test_every_figure_of_the_table_lies_in_a_section():
    assert {f.path.split(".")[0] for f in table.FIGURES} == set(evaluate.SECTIONS)


def test_a_card_quotes_the_table_between_its_marks():
    row = {"task": "captioning", "measure": "class named", "value": 0.5, "aim": ">= 0.90"}
    result = {
        "limit": 7,
        "device": "cpu",
        "torch": "2",
        "table": [{**row, "reached": False, "count": 7}],
    }
    card = "above\n<!-- figures -->\nold\n<!-- end -->\nbelow\n"
    once = evaluate.quoted(card, result)
    assert once == evaluate.quoted(once, result)
    assert "old" not in once
    assert "--limit 7" in once
    assert "| captioning | class named | 0.500 | >= 0.90 | no | 7 |\n<!-- end -->\nbelow\n" in once
    with pytest.raises(InputError, match="marks"):
        evaluate.quoted("no marks", result)


def test_chosen_sections_alone_are_run_and_missing_voices_are_noted(monkeypatch):
    def voiceless(_):
        raise SynthesizerUnavailableError("no voice here")

    sections = {"ask": lambda _: {"speech": {"right": 0.9, "count": 3}}, "hearing": voiceless}
    monkeypatch.setattr(evaluate, "SECTIONS", {**evaluate.SECTIONS, **sections})
    result = evaluate.evaluate(bench_of(written, seed=3, limit=8), ["ask", "hearing"])
    assert (result["seed"], result["limit"], result["model"]) == (3, 8, "nano")
    assert result["hearing"] == {"note": "no voice here"}
    assert not {"speech_en", "conversation", "choices"} & set(result)
    rows = {row["task"]: row for row in result["table"]}
    assert rows["questions: speech or not"]["reached"] is True
    assert rows["transcription, English"]["value"] is None
    lines = evaluate.readable(result)
    assert "| questions: speech or not | exact answers | 0.900 | >= 0.85 | yes | 3 |" in lines


def test_the_held_out_sentences_are_many_and_different():
    texts = SENTENCES.read_held_out()
    assert len({measures.plain_words(text) for text in texts}) == len(texts) >= 60


def test_new_words_are_no_words_of_the_domain():
    texts = new_words.read()
    assert len(texts) == new_words.COUNT
    framing = new_words.sentences({f"{chr(97 + n % 26)}xyz{n // 26 * 'q'}" for n in range(400)})
    known = {word for text in framing for word in text.strip(".?").split() if "xyz" not in word}
    words = [w for text in texts for w in measures.plain_words(text).split() if w not in known]
    assert len(words) == len(set(words)) >= 2 * len(texts)
    assert not set(words) & set(new_words.domain_words())
    listed = new_words.new_words(["zebra", "quixotic", "Zulu", "ox", "it's"], ["a zebra runs."])
    assert listed == {"quixotic"}


def test_the_bench_is_a_value():
    bench = bench_of(written)
    assert dataclasses.replace(bench, limit=3).engine is bench.engine
