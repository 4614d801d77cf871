"""Recordings of any length become segments, and their texts one transcript."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kimi_demo import voice_activity
from kimi_demo.audio import MAX_FILE_S, Audio, read
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.tasks.transcribe import heard_languages
from kimi_demo.errors import AudioError, InputError
from kimi_demo.events import (
    Finished,
    Segment,
    SegmentStarted,
    Started,
    StartedOver,
    TextDelta,
    Transcript,
)
from kimi_demo.intents import Transcribe, Translate
from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.tasks import TaskTable
from kimi_demo.text.languages import spoken_language
from kimi_demo.transcripts import FlowingWords, TranscriptDraft, transcript_of
from kimi_demo.voice_activity import PADDING_S, speech_spans, without_silence
from tests.turns import served
from tests.voice import silence, voice

RATE = 16_000
CLIPS = Path(__file__).parents[2] / "examples" / "audio"
END = Finished("stop", 5, 2, 0)


def sound(*pieces):
    return Audio(np.concatenate(pieces), RATE)


def transcribe(scripted, audio, language="", *, translated=False, **options):
    intent = Translate(audio, **options) if translated else Transcribe(audio, language, **options)
    return scripted.stream(intent)


def engine(*answers, pause_s=0.0, **limits):
    """Answers one request after the other."""
    left = iter(answers)

    def script(request):
        return [Started(5), *(TextDelta(word) for word in next(left).split("|")), END]

    capabilities = Capabilities("m", "", "cpu", 0, 24_000, tasks=TaskTable(**limits))
    return ScriptedEngine(script, capabilities, pause_s)


HISS = np.random.default_rng(0).normal(0, 0.004, 3 * RATE).astype(np.float32)
TWO_PIECES = (silence(1), voice(1.5), silence(1), voice(0.5), silence(0.5))


def test_speech_is_found_between_the_pauses():
    first, second = speech_spans(sound(*TWO_PIECES), 10.0)
    assert first.start_s == pytest.approx(1.0 - PADDING_S, abs=0.1)
    assert first.end_s == pytest.approx(2.5 + PADDING_S, abs=0.2)
    assert second.start_s == pytest.approx(3.5 - PADDING_S, abs=0.1)
    assert second.end_s <= 4.5


def test_silence_around_speech_goes_and_pauses_within_it_stay():
    kept = without_silence(sound(*TWO_PIECES))
    assert kept.duration_s == pytest.approx(3.0 + 2 * PADDING_S, abs=0.2)
    for without_speech in (sound(silence(2)), Audio(HISS, RATE)):
        assert without_silence(without_speech) is without_speech


def test_other_sample_rates_are_heard_alike():
    original = sound(*TWO_PIECES)
    assert len(speech_spans(original.resampled(44_100), 10.0)) == 2


def test_short_pauses_stay_inside():
    (span,) = speech_spans(sound(voice(1), silence(0.15), voice(1)), 10.0)
    assert span.end_s - span.start_s > 1.9


@pytest.mark.parametrize("waveform", [silence(2), HISS, silence(0.0)])
def test_where_nobody_speaks_nothing_is_found(waveform):
    assert speech_spans(Audio(waveform, RATE), 10.0) == []


@pytest.mark.parametrize("loudness", [0.03, 0.1, 0.3])
def test_loud_noise_is_no_speech(loudness):
    noise = loudness / 0.004 * HISS
    assert speech_spans(Audio(noise.clip(-1, 1), RATE), 10.0) == []


@pytest.mark.parametrize("clip", ["sound-rain", "sound-phone-ring", "scene-kitchen"])
def test_sounds_without_a_voice_are_no_speech(clip):
    assert speech_spans(read(CLIPS / f"{clip}.wav", sample_rate=RATE), 10.0) == []


def test_a_voice_is_found_in_noise():
    talk = sound(*TWO_PIECES)
    power = float(np.mean(voice(2.0) ** 2))
    noise = np.random.default_rng(2).normal(0, np.sqrt(power / 10), len(talk.waveform))
    noisy = Audio((talk.waveform + noise).astype(np.float32), RATE)
    spans = speech_spans(noisy, 10.0)
    clear = speech_spans(talk, 10.0)
    assert [s.start_s for s in spans] == pytest.approx([s.start_s for s in clear], abs=0.1)
    assert [s.end_s for s in spans] == pytest.approx([s.end_s for s in clear], abs=0.2)


def test_a_long_recording_is_heard_in_blocks_as_in_one(monkeypatch):
    whole = sound(*TWO_PIECES, *TWO_PIECES)
    expected = speech_spans(whole, 10.0)
    monkeypatch.setattr(voice_activity, "BLOCK_FRAMES", 7)
    assert speech_spans(whole, 10.0) == expected


def test_long_speech_is_cut_where_it_is_quietest():
    dips = [3.9, 7.6]
    waveform = voice(11.0)
    for dip in dips:
        waveform[round(dip * RATE) : round((dip + 0.12) * RATE)] *= 0.02
    spans = speech_spans(Audio(waveform, RATE), 5.0)
    assert [span.start_s for span in spans[1:]] == pytest.approx([3.96, 7.66], abs=0.08)


@pytest.mark.parametrize("most_s", [1.0, 3.0, 10.0])
def test_spans_are_in_order_short_enough_and_never_overlap(most_s):
    rng = np.random.default_rng(1)
    pieces = [
        part
        for length, pause in rng.uniform([0.3, 0.05], [6.0, 0.8], (6, 2))
        for part in (voice(length), silence(pause))
    ]
    whole = sound(*pieces)
    spans = speech_spans(whole, most_s)
    assert all(0.1 <= span.end_s - span.start_s <= most_s + 1e-6 for span in spans)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(spans))
    covered = sum(span.end_s - span.start_s for span in spans)
    spoken = sum(len(piece) for piece in pieces[::2]) / RATE
    assert spoken * 0.95 <= covered <= whole.duration_s


def test_each_piece_is_heard_and_timed():
    scripted = engine("good |morning", "bye")
    transcript, finished = transcript_of(transcribe(scripted, sound(*TWO_PIECES), "en"))
    assert [segment.text for segment in transcript.segments] == ["good morning", "bye"]
    assert (transcript.text, transcript.language) == ("good morning bye", "en")
    heard = [request.messages[0].parts[1].audio.duration_s for request in scripted.turns]
    lengths = [segment.end_s - segment.start_s for segment in transcript.segments]
    assert heard == pytest.approx(lengths, abs=1e-4)
    assert (finished.prompt_tokens, finished.text_tokens) == (10, 4)
    assert (finished.heard_tokens, finished.timings.first_audio_s) == (10, None)


def test_progress_and_words_come_while_they_are_heard():
    events = served(engine("good |morning", "bye"), Transcribe(sound(*TWO_PIECES)))
    kinds = [type(event) for event in events]
    assert kinds == [
        SegmentStarted, TextDelta, TextDelta, SegmentStarted, TextDelta, Transcript, Finished,
    ]  # fmt: skip
    assert (events[0].index, events[0].total, events[3].index) == (1, 2, 2)


def test_a_short_sound_is_heard_whole():
    scripted = engine("hello")
    whole = sound(silence(1), voice(1), silence(1))
    transcript, _ = transcript_of(transcribe(scripted, whole))
    assert scripted.turns[0].messages[0].parts[1].audio is whole
    (segment,) = transcript.segments
    assert 0.7 < segment.start_s < 1.1


def test_pieces_keep_to_the_limits_of_the_checkpoint():
    scripted = engine(*["a"] * 9, max_segment_s=2.0, max_audio_s=60.0)
    transcript_of(transcribe(scripted, sound(voice(7.0))))
    assert len(scripted.turns) >= 4
    assert all(r.messages[0].parts[1].audio.duration_s <= 2.0 for r in scripted.turns)


def test_mandarin_is_seen_and_joined_without_spaces():
    transcript, _ = transcript_of(transcribe(engine("你好", "再见"), sound(*TWO_PIECES)))
    assert (transcript.text, transcript.language) == ("你好再见", "zh")


def test_pieces_without_a_word_are_left_out():
    transcript, _ = transcript_of(transcribe(engine(" ", "bye"), sound(*TWO_PIECES)))
    assert [segment.text for segment in transcript.segments] == ["bye"]


def test_closing_stops_the_engine():
    scripted = engine("good |morning", "bye", pause_s=0.05)
    events = transcribe(scripted, sound(*TWO_PIECES))
    assert any(isinstance(event, TextDelta) for event in events)
    events.close()
    assert scripted.endings == ["cancelled"]


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (silence(2), "silent"),
        (HISS, "nobody seems to speak"),
        (voice(0.05), "shorter"),
        (np.zeros(round((MAX_FILE_S + 1) * 8), np.float32), "at most"),
    ],
)
def test_what_holds_no_speech_is_refused_at_once(waveform, message):
    rate = 8 if len(waveform) == round((MAX_FILE_S + 1) * 8) else RATE
    scripted = engine("never")
    with pytest.raises(AudioError, match=message):
        transcribe(scripted, Audio(waveform, rate))
    assert scripted.turns == []


def test_without_a_word_there_is_no_transcript():
    with pytest.raises(AudioError, match="no word was understood"):
        list(transcribe(engine("", " "), sound(*TWO_PIECES)))


def test_an_unknown_language_is_refused_with_the_possible_ones():
    with pytest.raises(InputError, match="'fr' here: choose one of detect, en, zh"):
        transcribe(engine("never"), sound(*TWO_PIECES), "fr")


OWN_PROMPTS = {"": "transcribe:", "en": "transcribe english:", "zh": "transcribe mandarin:"}


@pytest.mark.parametrize(("language", "prompt"), OWN_PROMPTS.items())
def test_a_hint_changes_the_words_of_the_prompt(language, prompt):
    scripted = engine("你好 hello", "再见 bye", transcription_prompts=OWN_PROMPTS)
    transcript, _ = transcript_of(transcribe(scripted, sound(*TWO_PIECES), language))
    assert prompts(scripted) == [prompt] * 2
    assert transcript.language == (language or "zh")


def test_a_language_that_is_known_but_has_no_words_of_its_own_may_be_named():
    scripted = engine("good morning", "bye", transcription_prompts={"": "transcribe:"})
    assert heard_languages(scripted.capabilities.tasks, ("en",)) == ("en",)
    transcript, _ = transcript_of(transcribe(scripted, sound(*TWO_PIECES), "en"))
    assert prompts(scripted) == ["transcribe:"] * 2
    assert transcript.language == "en"
    with pytest.raises(InputError, match="'zh' here: choose one of detect, en"):
        transcribe(scripted, sound(*TWO_PIECES), "zh")


@pytest.mark.parametrize(
    ("text", "hint", "language"),
    [
        ("good morning", "", "en"),
        ("你好", "", "zh"),
        ("ni hao 你好 hello", "zh", "zh"),  # there is something of it: the caller knows better
        ("我说 hello", "en", "en"),
        ("good morning", "zh", "en"),  # nothing of it: the hint was wrong
        ("早上好。", "en", "zh"),
        ("12, 30!", "zh", "zh"),
        ("", "zh", "zh"),
        ("", "", "en"),
        ("bonjour", "fr", "fr"),
    ],
)
def test_the_language_is_the_hint_unless_the_script_denies_it(text, hint, language):
    assert spoken_language(text, hint) == language


def test_a_wrong_hint_is_not_reported_as_what_was_heard():
    transcript, _ = transcript_of(transcribe(engine("good", "bye"), sound(*TWO_PIECES), "zh"))
    assert (transcript.text, transcript.language) == ("good bye", "en")


def test_a_transcript_without_segments_has_no_text():
    assert Transcript((), "en").text == ""
    assert Transcript((Segment(0, 1, "one"), Segment(1, 2, "二")), "en").text == "one二"


def prompts(scripted):
    return [request.messages[0].parts[0].text for request in scripted.turns]


def test_a_translation_is_asked_with_its_own_words_and_is_english():
    scripted = engine("good morning", "bye", translation_prompt="into English:")
    transcript, _ = transcript_of(transcribe(scripted, sound(*TWO_PIECES), translated=True, seed=7))
    assert prompts(scripted) == ["into English:"] * 2
    assert [turn.seed for turn in scripted.turns] == [7, 7]
    assert (transcript.text, transcript.language) == ("good morning bye", "en")


def test_where_translating_was_not_learned_english_is_written_down():
    scripted = engine("good morning", "bye", translation_prompt="")
    transcript, _ = transcript_of(transcribe(scripted, sound(*TWO_PIECES), translated=True))
    assert prompts(scripted) == [TaskTable().transcription_prompts[""]] * 2
    assert (transcript.text, transcript.language) == ("good morning bye", "en")


def test_where_translating_was_not_learned_other_languages_are_refused():
    scripted = engine("你好", "再见", translation_prompt="")
    with pytest.raises(InputError, match="not learned to translate"):
        list(transcribe(scripted, sound(*TWO_PIECES), translated=True))


def run_on(request):
    """A first answer that has to be ended."""
    reason = "loop" if request.sampling.text.repetition_penalty == 1.0 else "stop"
    return [Started(5), TextDelta("word"), Finished(reason, 50, 1, 0)]


@pytest.mark.parametrize(("again", "times", "reason"), [(True, 2, "stop"), (False, 1, "loop")])
def test_a_second_try_is_made_where_words_can_be_taken_back(again, times, reason):
    scripted = ScriptedEngine(run_on, Capabilities("m", "", "cpu", 0, 24_000))
    whole = sound(voice(1.0))
    events = list(transcribe(scripted, whole, again=again))
    assert len(scripted.turns) == times
    assert any(isinstance(event, StartedOver) for event in events) == again
    *_, transcript, finished = events
    assert (transcript.text, finished.reason) == ("word", reason)
    assert finished.heard_tokens == times * round(12.5 * whole.duration_s)


def test_other_sampling_reaches_every_piece():
    scripted = engine("good", "bye")
    wanted = Sampling(text=StreamSampling(temperature=0.7, top_k=3))
    list(transcribe(scripted, sound(*TWO_PIECES), sampling=wanted))
    assert [request.sampling for request in scripted.turns] == [wanted] * 2


@pytest.mark.parametrize("waveform", [silence(2), HISS])
def test_a_sound_without_speech_may_be_empty(waveform):
    scripted = engine("never")
    events = transcribe(scripted, Audio(waveform, RATE), may_be_empty=True)
    transcript, finished = transcript_of(events)
    assert (transcript.segments, transcript.text, finished.heard_tokens) == ((), "", 0)
    assert (finished.reason, finished.prompt_tokens, finished.text_tokens) == ("stop", 0, 0)
    assert scripted.turns == []


def test_a_sound_without_a_word_may_be_empty():
    events = transcribe(engine("", " "), sound(*TWO_PIECES), may_be_empty=True)
    transcript, finished = transcript_of(events)
    assert (transcript.segments, finished.prompt_tokens) == ((), 10)


def test_a_sound_that_may_be_empty_is_long_enough_all_the_same():
    with pytest.raises(AudioError, match="shorter"):
        transcribe(engine("never"), sound(silence(0.05)), may_be_empty=True)


@pytest.mark.parametrize("seed", range(20))
def test_words_flow_into_the_text_of_the_transcript(seed):
    rng = np.random.default_rng(seed)
    letters = np.array(list("ab  你，.\n"))
    words = FlowingWords()
    events, draft = [], TranscriptDraft()
    for index in range(5):
        events.append(SegmentStarted(index + 1, 5, index, index + 1))
        for _ in range(rng.integers(0, 5)):
            events.append(TextDelta("".join(rng.choice(letters, rng.integers(0, 4)))))
    for event in events:
        draft.take(event)
    assert "".join(words.take(event) for event in events) == draft.transcript().text
