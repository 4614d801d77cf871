"""The task table: published prompts, limits, a checkpoint's own table."""

import json

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.choices import PUBLISHED, ChoiceTask
from kimi_demo.errors import AudioError, CheckpointError, InputError
from kimi_demo.messages import AudioPart, Option, Sampling, StreamSampling, TextPart
from kimi_demo.model.prompt import PromptBuilder
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import EVALUATION_SAMPLING, TaskTable, TextLimit
from tests.parity.byte_tokenizer import ByteTokenizer
from training.checkpoint import task_table
from training.pack import pack_descriptions

SOUND = Audio(np.full(16_000, 0.1, np.float32), 16_000)


def test_speech_asks_to_read_the_text_aloud():
    request = TaskTable().speech("Hello there.", seed=7)
    (message,) = request.messages
    (part,) = message.parts
    published = "Read the following text aloud exactly as written, without adding other words:\n"
    assert part == TextPart(published + "Hello there.")
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


def test_a_table_that_spells_words_refuses_what_it_cannot_spell():
    table = TaskTable(text_normalizer="spoken")
    assert table.speech("20%").messages[0].parts[0].text.endswith("Twenty percent")
    with pytest.raises(InputError, match="Cyrillic"):
        table.speech("Привет")


def test_what_will_be_said_is_known_whoever_spells_it_out():
    assert TaskTable().said("20%") == "20%"
    assert TaskTable(text_normalizer="spoken").said("20%") == "Twenty percent"
    elsewhere = TaskTable(server_normalizer="spoken")
    assert elsewhere.said("20%") == "Twenty percent"
    assert elsewhere.speech("20%").messages[0].parts[0].text.endswith("20%")
    assert TaskTable(server_normalizer="of another version").said("20%") == "20%"


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


def test_the_other_way_to_ask_for_speech_asks_for_the_mark_too():
    expected = TextPart('Please say the following in audio: "Hello."', asks_for_answer=True)
    chosen = TaskTable(speech_prompt="say").speech("Hello.")
    assert chosen.messages[0].parts == (expected,)
    assert TaskTable().speech("Hello.", prompt="say").messages == chosen.messages
    with pytest.raises(InputError, match="'sing': choose one of read, say"):
        TaskTable().speech("Hello.", prompt="sing")
    with pytest.raises(InputError, match="only its own"):
        task_table().speech("hello.", prompt="say")


def test_the_mark_for_speech_is_written_by_the_builder_alone():
    ids = Vocabulary.published(256)
    builder = PromptBuilder(ids, ByteTokenizer(), lambda _: None, 6)
    marker = "<|im_kimia_speech_ctd_id|>"
    for prompt, marks in (("read", 0), ("say", 1)):
        request = TaskTable().speech(f"Hello. {marker}", prompt=prompt)
        streams = builder.build(request.messages, request.output)
        assert streams.audio_ids.count(ids.speech_ctd) == marks
        assert ids.speech_ctd not in streams.text_ids
        (part,) = request.messages[0].parts
        blanks = [ids.text_blank] * len(ByteTokenizer().encode(part.text))
        closing = [ids.speech_ctd] * marks + [ids.msg_end, ids.assistant_start]
        assert streams.audio_ids == [ids.user_start, *blanks, *closing]


def test_what_is_understood_of_a_sound_is_written_and_what_is_read_aloud_is_both():
    table = TaskTable()
    about = [
        table.transcription(SOUND),
        table.caption(SOUND),
        table.ask(SOUND, "What is it?"),
        *(table.choose(SOUND, name, ("a", "b"), "Which?") for name in table.choices),
    ]
    assert {request.output for request in about} == {"text"}
    assert table.speech("Hello.").output == table.chat("Hello.").output == "both"


@pytest.mark.parametrize(
    ("wording", "prompt"),
    [
        ("librispeech", "Please transcribe the spoken content into written text."),
        ("aishell", "请把这段语音转录成文本。"),
        ("fleurs-zh", "请将这段语音转写成文字。"),
        ("fleurs-en", "Please transcribe this audio."),
    ],
)
def test_measurements_can_be_repeated_with_their_words_and_sampling(wording, prompt):
    request = TaskTable().transcription(SOUND, wording=wording)
    assert request.messages[0].parts == (TextPart(prompt), AudioPart(SOUND))
    assert request.sampling.text == StreamSampling(0.0, 5, 1.1, 16)
    assert request.sampling.audio == StreamSampling(0.8, 10, 1.0, 64)
    with pytest.raises(InputError, match="'tedlium': choose one of librispeech"):
        TaskTable().transcription(SOUND, wording="tedlium")


TAIL = (
    "\n.Answer with the option's letter from the given choices directly and only give the best "
    "option."
)


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        (
            "emotion",
            "Identify the predominant emotion in this speech.\nOptions:\n(A) neutral\n(B) joy\n"
            "(C) sadness\n(D) anger\n(E) surprise\n(F) fear\n(G) disgust",
        ),
        (
            "sound",
            "Identify the human vocal sound in the audio.\nOptions:\n(A) Laughter\n(B) Sigh\n"
            "(C) Cough\n(D) Throat clearing\n(E) Sneeze\n(F) Sniff",
        ),
        (
            "sound-nonspeech7k",
            "Identify the human vocal sound in the audio.\nOptions:\n(A) Breath\n(B) Cough\n"
            "(C) Cry\n(D) Laugh\n(E) Scream\n(F) Sneeze\n(G) Yawn",
        ),
        (
            "scene",
            "Identify the acoustic scene in the audio.\nOptions:\n(A) beach\n(B) bus\n(C) cafe or "
            "restaurant\n(D) car\n(E) city center\n(F) forest path\n(G) grocery store\n(H) home\n"
            "(I) library\n(J) metro station\n(K) office\n(L) park\n(M) residential area\n"
            "(N) train\n(O) tram",
        ),
        (
            "scene-cochlscene",
            "Identify the acoustic scene in the audio.\nOptions:\n(A) bus\n(B) cafe\n(C) car\n"
            "(D) crowdedindoor\n(E) elevator\n(F) kitchen\n(G) park\n(H) residentialarea\n"
            "(I) restaurant\n(J) restroom\n(K) street\n(L) subway\n(M) subwaystation",
        ),
    ],
)
def test_closed_questions_are_put_as_published(task, prompt):
    request = TaskTable().choose(SOUND, task)
    assert request.messages[0].parts == (TextPart(prompt + TAIL), AudioPart(SOUND))
    assert [option.answer for option in request.options] == list("ABCDEFGHIJKLMNO")[
        : len(request.options)
    ]
    assert request.options[0] == Option(PUBLISHED[task].options[0], "A")


def test_a_question_with_its_own_options_is_put_as_published():
    request = TaskTable().choose(SOUND, "mmau", ("a dog", "a cat"), "What is it?")
    assert request.messages[0].parts[0] == TextPart("What is it?\n(A) a dog (B) a cat")
    assert [option.answer for option in request.options] == ["A", "B"]
    with pytest.raises(InputError, match="no question"):
        TaskTable().choose(SOUND, "mmau", ("a", "b"))
    with pytest.raises(InputError, match="between 2 and 26"):
        TaskTable().choose(SOUND, "mmau", (), "What is it?")


def test_a_transcript_ends_where_nobody_could_have_said_more():
    limits = [
        TaskTable().transcription(Audio(np.full(round(seconds * 16_000), 0.1, np.float32), 16_000))
        for seconds in (0.5, 1.0, 30.0)
    ]
    assert [request.max_new_tokens for request in limits] == [37, 42, 332]
    assert TaskTable().ask(SOUND, "Tell me a story about it.").max_new_tokens > 500
    assert TaskTable().speech("Hello.").max_new_tokens is None
    assert TaskTable().chat(SOUND).max_new_tokens is None


def test_fast_speech_has_room_in_a_transcript_of_the_embedded_checkpoint():
    """A sentence in two seconds, though each of its letters were an id."""
    sound = Audio(np.full(2 * 16_000, 0.1, np.float32), 16_000)
    request = task_table().transcription(sound)
    assert request.max_new_tokens > len("is there any money in front of the kitchen?")


def test_a_second_try_differs_only_in_its_sampling():
    request = TaskTable().transcription(SOUND, "zh", seed=3)
    again = TaskTable().again(request)
    assert again.sampling == EVALUATION_SAMPLING
    assert (again.messages, again.seed, again.max_new_tokens) == (
        request.messages,
        3,
        request.max_new_tokens,
    )


def test_a_whole_table_survives_its_file(tmp_path):
    pack_descriptions(tmp_path)
    assert TaskTable.load(tmp_path / "tasks.json") == task_table()
    values = {
        "speech_prompts": {"sing": {"before": "Sing: ", "asks_for_answer": True}},
        "speech_prompt": "sing",
        "choices": {"mood": {"question": "Which?", "options": ["a", "b"]}},
        "transcript_limit": {"ids_per_s": 5, "extra_ids": 1},
        "evaluation_sampling": {"text": {"repetition_penalty": 1.2}},
    }
    (tmp_path / "tasks.json").write_text(json.dumps(values), encoding="utf-8")
    table = TaskTable.load(tmp_path / "tasks.json")
    assert table.speech("la").messages[0].parts == (TextPart("Sing: la", True),)
    assert table.choices == {"mood": ChoiceTask("Which?", ("a", "b"))}
    assert table.transcript_limit == TextLimit(5, 1)
    assert table.evaluation_sampling.text == StreamSampling(repetition_penalty=1.2)


@pytest.mark.parametrize(
    "content", ["{", "[1]", '{"no_such": 1}', '{"memory": 3}', '{"choices": 4}']
)
def test_a_broken_table_is_named(tmp_path, content):
    (tmp_path / "tasks.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tasks\.json is broken"):
        TaskTable.load(tmp_path / "tasks.json")
