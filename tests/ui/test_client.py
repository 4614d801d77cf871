"""The endpoints, called as other programs call them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

HEARD = "the cat sleeps under the green tree"


def test_only_the_documented_endpoints_are_public(client: Client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/speak", "/chat", "/transcribe", "/caption", "/ask", "/choose"}
    assert "24 kHz WAV" in endpoints["/speak"]["description"]
    names = [parameter["parameter_name"] for parameter in endpoints["/speak"]["parameters"]]
    assert names == ["text", "seed", "temperature", "top_k", "language"]


def test_speak_returns_a_wav_and_its_figures(client: Client, site: Any):
    path, facts = client.predict("Hello there.", seed=5, temperature=0, api_name="/speak")
    sound = soundfile.info(path)
    assert (sound.samplerate, sound.channels, sound.duration) == (24_000, 1, 2.0)
    assert (facts["seed"], facts["audio_s"], facts["audio_tokens"]) == (5, 2.0, 25)
    assert site.engine.turns[-1].sampling.audio.temperature == 0


def test_speak_reads_sentence_by_sentence(client: Client):
    path, facts = client.predict("Hello there. 你好。", language="detect", api_name="/speak")
    assert facts["audio_s"] == soundfile.info(path).duration == 4.25
    assert facts["text"] == "spoken wordsspoken words"


def test_transcribe_returns_text_and_segments(client: Client, speech_wav: Path):
    text, facts = client.predict(
        handle_file(str(speech_wav)), language="en", api_name="/transcribe"
    )
    assert text == facts["text"] == HEARD
    assert facts["language"] == "en"
    (segment,) = facts["segments"]
    assert 0 <= segment["start_s"] < segment["end_s"] <= facts["audio_s"]


def test_unknown_languages_are_refused_with_the_possible_ones(client: Client, speech_wav: Path):
    sound = handle_file(str(speech_wav))
    with pytest.raises(AppError, match="'fr' here: choose one of detect, en, zh"):
        client.predict(sound, language="fr", api_name="/transcribe")
    with pytest.raises(AppError, match="'fr' here: choose one of detect, en, zh"):
        client.predict("Bonjour.", language="fr", api_name="/speak")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "nothing to say"),
        ({"text": "hello", "seed": -1}, "seed"),
        ({"text": "engine failure"}, "out of memory"),
        ({"text": "crash"}, "Please try again"),
    ],
)
def test_errors_reach_the_caller_as_sentences(
    client: Client, arguments: dict[str, Any], message: str
):
    with pytest.raises(AppError, match=message) as raised:
        client.predict(**arguments, api_name="/speak")
    assert "secret" not in str(raised.value)


def test_an_unreadable_file_is_refused(client: Client, tmp_path: Path):
    corrupt = tmp_path / "corrupt.mp3"
    corrupt.write_bytes(b"not a sound")
    with pytest.raises(AppError, match="cannot be read"):
        client.predict(handle_file(str(corrupt)), api_name="/transcribe")
