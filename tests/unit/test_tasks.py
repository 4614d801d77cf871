"""The task table: published prompts, limits, a checkpoint's own table."""

import json

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.errors import AudioError, InputError
from kimi_demo.messages import AudioPart, Sampling, StreamSampling, TextPart
from kimi_demo.tasks import TaskTable

SOUND = Audio(np.full(16_000, 0.1, np.float32), 16_000)


def test_speech_asks_to_read_the_text_aloud():
    request = TaskTable().speech("Hello there.", seed=7)
    (message,) = request.messages
    (part,) = message.parts
    assert part == TextPart(TaskTable().speech_prompt + "Hello there.")
    assert (message.role, request.output, request.seed) == ("user", "both", 7)


def test_the_published_sampling_is_the_default():
    sampling = TaskTable().speech("Hi").sampling
    assert sampling.text == StreamSampling(0.0, 5, 1.0, 16)
    assert sampling.audio == StreamSampling(0.8, 10, 1.0, 64)


def test_sampling_can_be_chosen_for_one_request_or_the_whole_table():
    greedy = Sampling(audio=StreamSampling())
    assert TaskTable().speech("Hi", greedy).sampling is greedy
    assert TaskTable().with_sampling(greedy).speech("Hi").sampling is greedy


@pytest.mark.parametrize(
    ("language", "prompt"),
    [
        ("zh", "请将音频内容转换为文字。"),
        ("en", "Please transcribe the following audio:"),
        ("", "Please transcribe the following audio:"),
        ("fr", "Please transcribe the following audio:"),
    ],
)
def test_transcription_puts_the_instruction_before_the_sound(language, prompt):
    request = TaskTable().transcription(SOUND, language)
    assert request.messages[0].parts == (TextPart(prompt), AudioPart(SOUND))
    assert request.output == "text"


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!", "🎙️", "“”"])
def test_text_without_anything_to_say_is_refused(text):
    with pytest.raises(InputError):
        TaskTable().speech(text)


def test_a_table_that_spells_english_refuses_what_it_cannot_spell():
    table = TaskTable(text_normalizer="spoken-english")
    assert table.speech("20%").messages[0].parts[0].text.endswith("twenty percent")
    with pytest.raises(InputError, match="can be spoken"):
        table.speech("你好。")


def test_too_long_a_text_is_refused_with_both_lengths():
    table = TaskTable(max_text_chars=10)
    table.speech("a" * 10)
    with pytest.raises(InputError, match="11 characters and at most 10"):
        table.speech("a" * 11)


def test_sounds_are_checked():
    with pytest.raises(AudioError, match="at most"):
        TaskTable(max_audio_s=0.5).transcription(SOUND)
    with pytest.raises(AudioError, match="silent"):
        TaskTable().transcription(Audio(np.zeros(16_000, np.float32), 16_000))


def test_a_checkpoint_brings_its_own_table(tmp_path):
    path = tmp_path / "tasks.json"
    values = {
        "speech_prompt": "say: ",
        "transcription_prompts": {"": "write: "},
        "max_audio_s": 20,
        "speech_sampling": {"audio": {"temperature": 0.3, "top_k": 4}},
    }
    path.write_text(json.dumps(values), encoding="utf-8")
    table = TaskTable.load(path)
    request = table.speech("hi")
    assert request.messages[0].parts[0].text == "say: hi"
    assert request.sampling.audio == StreamSampling(temperature=0.3, top_k=4)
    assert request.sampling.text == StreamSampling()
    assert table.transcription(SOUND, "en").messages[0].parts[0].text == "write: "
    assert table.max_text_chars == TaskTable().max_text_chars


def test_without_a_table_the_published_one_serves(tmp_path):
    assert TaskTable.load(tmp_path / "tasks.json") == TaskTable()


def test_negative_sampling_is_refused():
    with pytest.raises(ValueError, match="negative"):
        StreamSampling(temperature=-0.1)


def test_answers_that_a_checkpoint_has_not_learned_are_refused():
    spoken_only = TaskTable(reply_outputs=("both",))
    assert spoken_only.chat("hello").output == "both"
    with pytest.raises(InputError, match="output must be both"):
        spoken_only.chat("hello", output="text")
