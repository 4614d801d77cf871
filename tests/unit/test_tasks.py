"""The task table: published prompts, limits, a checkpoint's own table."""

import json

import numpy as np
import pytest

from kimi_demo.audio import Audio
from kimi_demo.choices import PUBLISHED, ChoiceTask
from kimi_demo.errors import AudioError, CheckpointError, InputError
from kimi_demo.intents import Ask, Caption, Chat, Choose, Speak, Transcribe, Translate
from kimi_demo.messages import AudioPart, Message, Option, Sampling, StreamSampling, TextPart
from kimi_demo.model.prompt import PromptBuilder
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import TaskTable, TextLimit
from tests.parity.byte_tokenizer import ByteTokenizer
from tests.turns import turn_of, turns_of
from tests.voice import voice
from training.checkpoint import task_table
from training.pack import pack_descriptions

SOUND = Audio(np.full(16_000, 0.1, np.float32), 16_000)
SPOKEN = Audio(voice(1.0), 16_000)


def test_speech_asks_to_read_the_text_aloud():
    request = turn_of(Speak("Hello there.", seed=7))
    (message,) = request.messages
    (part,) = message.parts
    published = "Read the following text aloud exactly as written, without adding other words:\n"
    assert part == TextPart(published + "Hello there.")
    assert (message.role, request.output, request.seed) == ("user", "both", 7)


def test_the_published_sampling_is_the_default():
    sampling = turn_of(Speak("Hi")).sampling
    assert sampling.text == StreamSampling(0.0, 5, 1.0, 16)
    assert sampling.audio == StreamSampling(0.8, 10, 1.0, 64)


def test_sampling_can_be_chosen_for_one_request_or_the_whole_table():
    greedy = Sampling(audio=StreamSampling())
    assert turn_of(Speak("Hi", sampling=greedy)).sampling is greedy
    assert turn_of(Speak("Hi"), TaskTable().with_sampling(greedy)).sampling is greedy


@pytest.mark.parametrize(
    ("language", "prompt"),
    [
        ("zh", "请将音频内容转换为文字。"),
        ("en", "Please transcribe the following audio:"),
        ("", "Please transcribe the following audio:"),
    ],
)
def test_transcription_puts_the_instruction_before_the_sound(language, prompt):
    request = turn_of(Transcribe(SPOKEN, language))
    assert request.messages[0].parts == (TextPart(prompt), AudioPart(SPOKEN))
    assert request.output == "text"


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!", "🎙️", "“”"])
@pytest.mark.parametrize("ask", [Speak, Chat.about])
def test_text_without_anything_to_say_is_refused(ask, text):
    with pytest.raises(InputError):
        turns_of(ask(text))


def test_a_table_that_spells_words_refuses_what_it_cannot_spell():
    table = TaskTable(text_normalizer="spoken")
    assert turn_of(Speak("20%"), table).messages[0].parts[0].text.endswith("Twenty percent")
    assert turn_of(Chat.about("2 + 3?"), table).messages[0].parts == (TextPart("Two plus three?"),)
    with pytest.raises(InputError, match="Cyrillic"):
        turn_of(Chat.about("Привет"), table)


def test_too_long_a_text_is_refused_with_both_lengths():
    table = TaskTable(max_text_chars=10)
    turn_of(Chat.about("a" * 10), table)
    with pytest.raises(InputError, match="11 characters and at most 10"):
        turn_of(Chat.about("a" * 11), table)
    with pytest.raises(InputError, match="at most 10 characters"):
        turn_of(Chat((Message("user", (TextPart("a" * 6), TextPart("b" * 5))),)), table)


def test_sounds_are_checked():
    with pytest.raises(AudioError, match="at most"):
        turn_of(Caption(SOUND), TaskTable(max_audio_s=0.5))
    with pytest.raises(AudioError, match="at most"):
        turn_of(Chat((Message("user", (AudioPart(SOUND),) * 2),)), TaskTable(max_audio_s=1.5))
    with pytest.raises(AudioError, match="silent"):
        turn_of(Caption(Audio(np.zeros(16_000, np.float32), 16_000)))


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
    request = turn_of(Speak("hi"), table)
    assert request.messages[0].parts[0].text == "say: hi"
    assert request.sampling.audio == StreamSampling(temperature=0.3, top_k=4)
    assert request.sampling.text == StreamSampling()
    assert turn_of(Transcribe(SPOKEN, "en"), table).messages[0].parts[0].text == "write: "
    assert table.max_text_chars == TaskTable().max_text_chars


def test_without_a_table_the_published_one_serves(tmp_path):
    assert TaskTable.load(tmp_path / "tasks.json") == TaskTable()


def test_negative_sampling_is_refused():
    with pytest.raises(ValueError, match="negative"):
        StreamSampling(temperature=-0.1)


def test_answers_that_a_checkpoint_has_not_learned_are_refused():
    spoken_only = TaskTable(reply_outputs=("both",))
    assert turn_of(Chat.about("hello"), spoken_only).output == "both"
    with pytest.raises(InputError, match="output must be both"):
        turn_of(Chat.about("hello", "text"), spoken_only)


def test_the_other_way_to_ask_for_speech_asks_for_the_mark_too():
    expected = TextPart('Please say the following in audio: "Hello."', asks_for_answer=True)
    chosen = turn_of(Speak("Hello."), TaskTable(speech_prompt="say"))
    assert chosen.messages[0].parts == (expected,)
    assert turn_of(Speak("Hello.", prompt="say")).messages == chosen.messages
    with pytest.raises(InputError, match="'sing': choose one of read, say"):
        turn_of(Speak("Hello.", prompt="sing"))
    with pytest.raises(InputError, match="only its own"):
        turn_of(Speak("hello.", prompt="say"), task_table())


def test_the_mark_for_speech_is_written_by_the_builder_alone():
    ids = Vocabulary.published(256)
    builder = PromptBuilder(ids, ByteTokenizer(), lambda _: None, 6)
    marker = "<|im_kimia_speech_ctd_id|>"
    for prompt, marks in (("read", 0), ("say", 1)):
        request = turn_of(Speak(f"Hello {marker}.", prompt=prompt))
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
        Transcribe(SPOKEN),
        Translate(SPOKEN),
        Caption(SOUND),
        Ask.about(SOUND, "What is it?"),
        *(Choose.about(SOUND, name, ("a", "b"), "Which?") for name in table.choices),
    ]
    assert {turn_of(intent).output for intent in about} == {"text"}
    assert turn_of(Speak("Hello.")).output == turn_of(Chat.about("Hello.")).output == "both"


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
    request = turn_of(Transcribe(SPOKEN, wording=wording))
    assert request.messages[0].parts == (TextPart(prompt), AudioPart(SPOKEN))
    assert request.sampling.text == StreamSampling(0.0, 5, 1.1, 16)
    assert request.sampling.audio == StreamSampling(0.8, 10, 1.0, 64)
    with pytest.raises(InputError, match="'tedlium': choose one of librispeech"):
        turn_of(Transcribe(SPOKEN, wording="tedlium"))


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
    request = turn_of(Choose.about(SOUND, task))
    assert request.messages[0].parts == (TextPart(prompt + TAIL), AudioPart(SOUND))
    assert [option.answer for option in request.options] == list("ABCDEFGHIJKLMNO")[
        : len(request.options)
    ]
    assert request.options[0] == Option(PUBLISHED[task].options[0], "A")


def test_a_question_with_its_own_options_is_put_as_published():
    request = turn_of(Choose.about(SOUND, "mmau", ("a dog", "a cat"), "What is it?"))
    assert request.messages[0].parts[0] == TextPart("What is it?\n(A) a dog (B) a cat")
    assert [option.answer for option in request.options] == ["A", "B"]
    with pytest.raises(InputError, match="no question"):
        turn_of(Choose.about(SOUND, "mmau", ("a", "b")))
    with pytest.raises(InputError, match="between 2 and 26"):
        turn_of(Choose.about(SOUND, "mmau", (), "What is it?"))


def test_a_transcript_ends_where_nobody_could_have_said_more():
    sounds = [Audio(voice(seconds), 16_000) for seconds in (0.5, 1.0, 20.0)]
    assert [turn_of(Transcribe(sound)).max_new_tokens for sound in sounds] == [37, 42, 232]
    assert turn_of(Ask.about(SOUND, "Tell me a story about it.")).max_new_tokens > 500
    assert turn_of(Speak("Hello.")).max_new_tokens is None
    assert turn_of(Chat.about(SOUND)).max_new_tokens is None


def test_fast_speech_has_room_in_a_transcript_of_the_embedded_checkpoint():
    """A sentence in two seconds, though each of its letters were an id."""
    request = turn_of(Transcribe(Audio(voice(2.0), 16_000)), task_table())
    assert request.max_new_tokens > len("is there any money in front of the kitchen?")


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
    assert turn_of(Speak("la"), table).messages[0].parts == (TextPart("Sing: la", True),)
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
