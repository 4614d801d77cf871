"""Speech is listened to before it is handed out, and spoken once more where it went wrong."""

import json

import numpy as np
import pytest
import soundfile

from kimi_demo.__main__ import main
from kimi_demo.audio import Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.tasks.self_check import MAX_ERROR_RATE, SelfCheck, error_rate
from kimi_demo.events import (
    AudioDelta,
    Checked,
    Finished,
    SentenceStarted,
    Started,
    Stepped,
    TextDelta,
    collect,
)
from kimi_demo.intents import ListenBack, Speak
from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.tasks import TaskTable
from tests.turns import served, turns_of
from tests.voice import silence, voice

RATE = 24_000
TEXT = "The weather is fine today."


def engine(*heard, sounds=None):
    """Speaks two seconds; what it then hears is said here, one text after the other."""
    left = iter(heard)

    def script(request):
        if request.output == "both":
            sound = voice(2.0, RATE) if sounds is None else sounds
            end = Finished("stop", 9, 1, 3, audio_codes=(request.seed,))
            return [Started(9), AudioDelta(sound[:RATE], RATE), AudioDelta(sound[RATE:], RATE), end]
        return [Started(5), TextDelta(next(left)), Finished("stop", 5, 2, 0)]

    return ScriptedEngine(script, Capabilities("m", "", "cpu", 0, RATE, ("en", "zh")))


def checked(scripted, text=TEXT, **options):
    (turn,) = turns_of(Speak(text, **options), languages=("en", "zh"))
    check = SelfCheck(scripted.run_turn, TaskTable(), ("en", "zh"))
    return list(check.told(text, turn))


def spoken_seeds(scripted):
    return [request.seed for request in scripted.turns if request.output == "both"]


def check_of(events):
    (found,) = [event for event in events if isinstance(event, Checked)]
    return found


def test_speech_that_is_understood_is_kept():
    scripted = engine("the weather is fine today")
    events = checked(scripted, seed=4)
    assert [type(event) for event in events] == [Started, AudioDelta, Checked, Finished]
    assert check_of(events) == Checked("the weather is fine today", 0, 21, seed=4, tries=1)
    answer = collect(events)
    assert len(answer.waveform) == 2 * RATE
    assert answer.finished.audio_codes == (4,)


def test_speech_that_differs_too_much_is_spoken_again_with_another_seed():
    scripted = engine("goodbye", "the weather is fine")
    events = checked(scripted, seed=4)
    assert spoken_seeds(scripted) == [4, 5]
    found = check_of(events)
    assert (found.seed, found.tries, found.edits) == (5, 2, len("today"))
    finished = collect(events).finished
    assert finished.audio_codes == (5,)


def test_the_better_of_two_is_kept_and_there_is_no_third():
    scripted = engine("the weather was", "goodbye", "never heard")
    found = check_of(checked(scripted, seed=4))
    assert (found.seed, found.tries, found.heard) == (4, 2, "the weather was")
    assert found.error_rate > MAX_ERROR_RATE
    assert len(scripted.turns) == 4


def test_a_greedy_checkpoint_draws_its_second_try():
    greedy = Sampling(StreamSampling(), StreamSampling())
    scripted = engine("goodbye", TEXT)
    checked(scripted, sampling=greedy)
    first, second = (r.sampling for r in scripted.turns if r.output == "both")
    assert first == greedy
    assert second == Sampling(greedy.text, Sampling().audio)


def test_silence_says_nothing():
    scripted = engine(sounds=silence(2.0, RATE))
    found = check_of(checked(scripted))
    assert (found.heard, found.error_rate, found.tries) == ("", 1.0, 2)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("It is 3:30.", "IT IS THREE THIRTY"),
        ("Well, I paid 20%!", "well i paid twenty percent"),
        ("今天20度。", "今天二十度"),
        ("Привет!", "привет"),
    ],
)
def test_other_spellings_of_the_same_words_are_no_errors(text, heard):
    assert check_of(checked(engine(heard), text)).edits == 0


def test_speech_that_was_heard_is_listened_to_sentence_by_sentence():
    scripted = engine("It costs 3 dollars", "good by")
    said = [("It costs $3.", Audio(voice(2.0), 16_000)), ("Goodbye!", Audio(voice(2.0), 16_000))]
    said.append(("Hello.", Audio(silence(1.0), 16_000)))
    first, second, third, finished = served(scripted, ListenBack(tuple(said)))
    assert first == Checked("It costs 3 dollars", 0, 19, seed=0, tries=1)
    assert (second.heard, second.edits) == ("good by", 1)
    assert (third.heard, third.error_rate) == ("", 1.0)
    assert (finished.prompt_tokens, finished.text_tokens) == (10, 4)


def test_listening_back_ends_when_it_is_closed():
    script = [Started(5), Stepped(1, 0), Stepped(2, 0), Finished("stop", 5, 2, 0)]
    scripted = ScriptedEngine(script, Capabilities("m", "", "cpu", 0, RATE), pause_s=0.05)
    events = scripted.stream(ListenBack((("It is fine.", Audio(voice(2.0), 16_000)),) * 2))
    next(event for event in events if isinstance(event, Stepped))
    events.close()
    assert scripted.endings == ["cancelled"]


def test_texts_are_weighed_by_their_length():
    short, long = Checked("x", 2, 2, 0, 1), Checked("y", 0, 18, 0, 1)
    assert error_rate([short, long]) == 0.1
    assert error_rate([]) == 0.0


def test_each_sentence_is_checked_on_its_own():
    scripted = engine("Hello there", "nonsense", "it is fine today")
    events = served(scripted, Speak("Hello there. It is fine today.", seed=1, check=True))
    kinds = [type(event) for event in events]
    assert kinds == [
        SentenceStarted, AudioDelta, Checked, AudioDelta, SentenceStarted, AudioDelta, Checked,
        Finished,
    ]  # fmt: skip
    assert spoken_seeds(scripted) == [1, 1, 2]
    assert collect(events).finished.audio_codes == (1, 2)


@pytest.mark.slow
def test_the_embedded_checkpoint_listens_to_itself(tmp_path, capsys):
    out = tmp_path / "out.wav"
    arguments = ["say", "Hello.", "-o", str(out), "--check", "--json", "--device", "cpu"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    samples, _ = soundfile.read(out)
    assert np.abs(samples).max() > 0.05
    assert 0 <= result["error_rate"] <= 1
    assert result["spoken_again"] or result["error_rate"] <= MAX_ERROR_RATE
    assert result["heard"]


def test_the_embedded_checkpoint_has_only_its_own_ways_to_be_asked(tmp_path, capsys):
    out = tmp_path / "out.wav"
    soundfile.write(out, voice(1.0), 16_000)
    say = ["say", "Hello.", "-o", str(out), "--prompt", "say"]
    transcribe = ["transcribe", str(out), "--wording", "librispeech"]
    for arguments in (say, transcribe):
        assert main([*arguments, "--device", "cpu"]) == 2
        assert "this model knows only its own" in capsys.readouterr().err
