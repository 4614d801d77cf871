"""POST /audio/translations, and what of a request reaches the model."""

import re

import httpx
import numpy as np
import openai
import pytest

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import Finished, Started, TextDelta
from kimi_demo.tasks import TaskTable
from tests.api.sounds import END, wav
from tests.voice import silence, voice


def translated(client, sound, **options):
    with pytest.warns(DeprecationWarning, match="deprecated"):
        return client.audio.translations.create(model="whisper-1", file=wav(sound), **options)


def test_english_is_its_own_translation(client, question, said):
    verbose = translated(client, question, response_format="verbose_json", prompt="hm")
    assert (verbose.text, verbose.language, verbose.task) == (said.text, "english", "translate")
    assert verbose.duration == pytest.approx(question.duration_s, abs=0.001)
    assert [segment.text for segment in verbose.segments] == [said.text]
    reply = translated(client, question)
    assert (reply.text, reply.finish_reason) == (said.text, said.finished.reason)
    assert verbose.usage == {"type": "duration", "seconds": verbose.duration}
    details = reply.usage["input_token_details"]
    assert details["audio_tokens"] == round(12.5 * question.duration_s)
    assert reply.usage["input_tokens"] == details["audio_tokens"] + details["text_tokens"]


def test_a_model_that_cannot_translate_refuses_other_languages(serve_api, spoken):
    engine = scripted("你好，", "再见", translation_prompt="")
    with (
        serve_api(engine) as site,
        site.client() as client,
        pytest.raises(openai.BadRequestError, match="not learned to translate"),
    ):
        translated(client, spoken)


@pytest.mark.parametrize("option", ["language", "timestamp_granularities[]"])
def test_translations_have_fewer_fields(client, question, option):
    with pytest.raises(openai.BadRequestError) as refused:
        translated(client, question, extra_body={option: "en"})
    assert (refused.value.param, refused.value.code) == (option, "unsupported")


def scripted(*words, **tasks):
    table = TaskTable(**tasks)
    events = [Started(40), *(TextDelta(word) for word in words), END]
    return ScriptedEngine(events, Capabilities("m", "", "cpu", 0, 24_000, tasks=table))


@pytest.fixture(scope="module")
def spoken():
    return Audio(voice(1.5), INPUT_SAMPLE_RATE)


def test_a_translation_is_asked_with_the_words_of_the_checkpoint(serve_api, spoken):
    engine = scripted("good ", "day")
    with serve_api(engine) as site, site.client() as client:
        verbose = translated(client, spoken, response_format="verbose_json")
    assert (verbose.text, verbose.language, verbose.task) == ("good day", "english", "translate")
    (request,) = engine.turns
    assert request.messages[0].parts[0].text == TaskTable().translation_prompt


def test_cues_are_numbered_and_timed(serve_api, spoken):
    pieces = [silence(2), spoken.waveform, silence(3), spoken.waveform, silence(1)]
    recording = Audio(np.concatenate(pieces), INPUT_SAMPLE_RATE)
    with serve_api(scripted("a --> b")) as site, site.client() as client:
        srt, vtt = (
            client.audio.transcriptions.create(model="m", file=wav(recording), response_format=form)
            for form in ("srt", "vtt")
        )
    for body, number, point, text in (
        (srt, r"{0}\n", ",", "a → b"),
        (vtt.removeprefix("WEBVTT\n\n"), "", r"\.", "a --&gt; b"),
    ):
        time = rf"00:00:0(\d){point}\d{{3}}"
        for index, cue in enumerate(body.split("\n\n"), 1):
            match = re.fullmatch(number.format(index) + f"{time} --> {time}\n{text}\n?", cue)
            assert [int(second) for second in match.groups()] == [[1, 3], [6, 8]][index - 1]
        assert index == 2


def test_what_is_asked_for_reaches_the_model(serve_api, spoken):
    engine = scripted("你好，", "再见")
    with serve_api(engine) as site, site.client() as client:
        verbose = client.audio.transcriptions.create(
            model="m",
            file=wav(spoken),
            language="zh",
            temperature=0.5,
            response_format="verbose_json",
            extra_body={"seed": 7, "top_k": 3, "repetition_penalty": 1.5},
        )
    (request,) = engine.turns
    assert request.messages[0].parts[0].text == TaskTable().transcription_prompts["zh"]
    text = request.sampling.text
    assert (text.temperature, text.top_k, text.repetition_penalty) == (0.5, 3, 1.5)
    assert (request.seed, verbose.language) == (7, "chinese")
    assert [segment.temperature for segment in verbose.segments] == [0.5]


@pytest.mark.parametrize(
    ("prompts", "prompt", "ignored"),
    [
        ({"": "write:", "en": "write english:"}, "write english:", None),
        ({"": "write:"}, "write:", "language"),
    ],
)
def test_a_language_that_the_model_knows_may_be_named(serve_api, spoken, prompts, prompt, ignored):
    engine = scripted("good ", "day", transcription_prompts=prompts)
    with serve_api(engine) as site, site.client() as client:
        raw = client.audio.transcriptions.with_raw_response.create(
            model="m", file=wav(spoken), language="en", response_format="verbose_json"
        )
    assert engine.turns[0].messages[0].parts[0].text == prompt
    assert raw.headers.get("x-ignored") == ignored
    assert raw.parse().language == "english"


def test_a_hint_that_was_wrong_is_not_told_as_what_was_heard(serve_api, spoken):
    with serve_api(scripted("good ", "day")) as site, site.client() as client:
        verbose = client.audio.transcriptions.create(
            model="m", file=wav(spoken), language="zh", response_format="verbose_json"
        )
    assert (verbose.text, verbose.language) == ("good day", "english")


def run_on(request):
    return [Started(40), TextDelta("word"), Finished("loop", 40, 1, 0)]


@pytest.mark.parametrize(("stream", "times"), [(True, 1), (False, 2)])
def test_words_that_were_sent_are_not_taken_back(serve_api, spoken, stream, times):
    engine = ScriptedEngine(run_on, Capabilities("m", "", "cpu", 0, 24_000))
    with serve_api(engine) as site, site.client() as client:
        reply = client.audio.transcriptions.create(model="m", file=wav(spoken), stream=stream)
        done = list(reply)[-1] if stream else reply
    assert len(engine.turns) == times
    assert (done.text, done.finish_reason) == ("word", "loop")
    details = done.usage.input_token_details
    assert details.audio_tokens == times * round(12.5 * 1.5)
    assert details.text_tokens == times * 40 - details.audio_tokens


def test_sounds_are_put_on_the_callers_account(serve_api, spoken):
    with serve_api(scripted("word")) as site, site.client() as client:
        client.audio.transcriptions.create(model="m", file=wav(spoken))
        list(client.audio.transcriptions.create(model="m", file=wav(spoken), stream=True))
        heard_s = site.service.metrics.value(
            "kimi_key_audio_seconds_total", key="anonymous", direction="in"
        )
    assert heard_s == pytest.approx(2 * spoken.duration_s)


def test_every_field_is_described(nano_site):
    document = httpx.get(f"{nano_site.url}/v1/openapi.json").json()
    for name in ("TranscriptionForm", "TranslationForm"):
        fields = document["components"]["schemas"][name]["properties"]
        assert [field for field, schema in fields.items() if not schema.get("description")] == []
