"""POST /audio/transcriptions and /audio/translations, called by the official client."""

import asyncio
import io
import re
import zlib

import av
import httpx
import numpy as np
import openai
import pytest
import soundfile

from kimi_demo.audio import INPUT_SAMPLE_RATE, Audio, decode
from tests.api.sounds import Heard, clip, wav
from tests.voice import silence, voice


def plain_file(sound, format_, subtype=None, channels=1):
    """What libsndfile writes."""
    file = io.BytesIO()
    samples = np.repeat(sound.waveform[:, None], channels, axis=1)
    soundfile.write(file, samples, sound.sample_rate, format=format_, subtype=subtype)
    return file.getvalue()


def container_file(sound, format_, codec, layout="mono"):
    """What phones and browsers write."""
    file = io.BytesIO()
    with av.open(file, "w", format=format_) as container:
        stream = container.add_stream(codec, rate=sound.sample_rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(sound.waveform[None], format="fltp", layout="mono")
        frame.sample_rate = sound.sample_rate
        resampler = av.AudioResampler(stream.codec_context.format, layout, sound.sample_rate)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()


FILES = {
    "wav 16 bit": lambda sound: plain_file(sound, "WAV", "PCM_16"),
    "wav float 6 channels": lambda sound: plain_file(sound, "WAV", "FLOAT", channels=6),
    "flac 48 kHz stereo": lambda sound: plain_file(sound.resampled(48_000), "FLAC", channels=2),
    "wav 8 bit": lambda sound: plain_file(sound, "WAV", "PCM_U8"),
    "wav 8 kHz": lambda sound: plain_file(sound.resampled(8_000), "WAV"),
    "mp3": lambda sound: plain_file(sound.resampled(44_100), "MP3"),
    "ogg vorbis": lambda sound: plain_file(sound.resampled(22_050), "OGG", "VORBIS"),
    "ogg opus": lambda sound: plain_file(sound.resampled(48_000), "OGG", "OPUS"),
    "m4a": lambda sound: container_file(sound.resampled(44_100), "ipod", "aac", "stereo"),
    "mp4": lambda sound: container_file(sound.resampled(48_000), "mp4", "aac"),
    "webm": lambda sound: container_file(sound.resampled(48_000), "webm", "libopus"),
}


def likeness(one, other):
    """The greatest correlation of two sounds, whatever delay a codec adds; 1 for equal ones."""
    waveforms = [sound.waveform / np.linalg.norm(sound.waveform) for sound in (one, other)]
    size = sum(map(len, waveforms))  # so that no end meets a beginning
    first, second = (np.fft.rfft(waveform, size) for waveform in waveforms)
    return np.fft.irfft(first * second.conj(), size).max()


@pytest.mark.parametrize("stored", FILES.values(), ids=FILES)
def test_files_of_every_kind_are_heard(client, nano, question, stored):
    file = stored(question)
    reply = client.audio.transcriptions.create(model="whisper-1", file=("f", file))
    decoded = decode(io.BytesIO(file), sample_rate=INPUT_SAMPLE_RATE)
    assert decoded.duration_s == pytest.approx(question.duration_s, abs=0.1)
    assert likeness(decoded, question) > 0.9
    assert reply.text == Heard.by(nano, decoded).text


def check_usage(usage, sound, heard):
    assert usage.type == "tokens"
    details = usage.input_token_details
    details = details if isinstance(details, dict) else details.model_dump()
    assert details["audio_tokens"] == round(12.5 * sound.duration_s)
    assert 0 < details["text_tokens"] < 40
    assert usage.input_tokens == details["audio_tokens"] + details["text_tokens"]
    assert usage.input_tokens == heard.finished.prompt_tokens
    assert usage.output_tokens == heard.finished.text_tokens
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_json(client, question, said):
    reply = client.audio.transcriptions.create(model="whisper-1", file=wav(question))
    assert reply.text == said.text
    assert reply.finish_reason == said.finished.reason
    assert reply.logprobs is None
    check_usage(reply.usage, question, said)


def test_json_of_the_async_client(nano_site, question, said):
    async def asked():
        async with nano_site.async_client() as client:
            return await client.audio.transcriptions.create(model="nano", file=wav(question))

    reply = asyncio.run(asked())
    assert (reply.text, reply.finish_reason) == (said.text, said.finished.reason)
    check_usage(reply.usage, question, said)


def test_verbose_json(client, question, said):
    reply = client.audio.transcriptions.create(
        model="whisper-1",
        file=wav(question),
        response_format="verbose_json",
        timestamp_granularities=["segment"],
    )
    assert (reply.task, reply.language, reply.text) == ("transcribe", "english", said.text)
    assert reply.duration == pytest.approx(question.duration_s, abs=0.001)
    assert reply.words is None
    assert reply.finish_reason == said.finished.reason
    assert (reply.usage.type, reply.usage.seconds) == ("duration", reply.duration)
    (segment,) = reply.segments
    assert (segment.id, segment.tokens, segment.temperature) == (0, [], 0.0)
    (own,) = said.transcript.segments
    assert (segment.start, segment.end) == (round(own.start_s, 3), round(own.end_s, 3))
    assert segment.text == own.text == said.text
    assert 0 <= segment.start < segment.end <= reply.duration
    assert segment.seek == round(100 * segment.start)
    assert (segment.avg_logprob, segment.no_speech_prob) == (0.0, 0.0)
    compressed = len(zlib.compress(said.text.encode()))
    assert segment.compression_ratio == pytest.approx(len(said.text) / compressed, abs=1e-3)


@pytest.mark.parametrize(
    ("form", "media_type"), [("text", "text/plain"), ("srt", "text/plain"), ("vtt", "text/vtt")]
)
def test_written_formats_are_bodies_as_they_stand(client, question, said, form, media_type):
    raw = client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=wav(question), response_format=form
    )
    assert raw.headers["content-type"] == f"{media_type}; charset=utf-8"
    times = r"00:00:00{0}\d{{3}} --> 00:00:0\d{0}\d{{3}}\n"
    expected = {
        "text": f"{re.escape(said.text)}\n",
        "srt": f"1\n{times.format(',')}{re.escape(said.text)}\n",
        "vtt": f"WEBVTT\n\n{times.format('[.]')}{re.escape(said.text)}\n",
    }
    assert re.fullmatch(expected[form], raw.text)
    assert raw.parse() == raw.text


def check_stream(events, heard):
    *deltas, done = events
    assert len(deltas) == sum(bool(piece.strip()) for piece in heard.pieces) > 1
    assert {delta.type for delta in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(delta.delta for delta in deltas) == done.text == heard.text
    assert done.finish_reason == heard.finished.reason
    return done


@pytest.fixture(scope="module")
def streamed(nano, question):
    """As `said`, but never taken back."""
    return Heard.by(nano, question, again=False)


def test_a_stream(client, question, streamed):
    with client.audio.transcriptions.create(
        model="whisper-1", file=wav(question), stream=True
    ) as events:
        done = check_stream(events, streamed)
    check_usage(done.usage, question, streamed)


def test_a_stream_of_the_async_client(nano_site, question, streamed):
    async def asked():
        async with nano_site.async_client() as client:
            events = await client.audio.transcriptions.create(
                model="whisper-1", file=wav(question), stream=True
            )
            return [event async for event in events]

    done = check_stream(asyncio.run(asked()), streamed)
    check_usage(done.usage, question, streamed)


def test_a_stream_ends_as_streams_of_the_protocol_do(nano_site, question):
    reply = httpx.post(
        f"{nano_site.url}/v1/audio/transcriptions",
        files={"file": wav(question)},
        data={"model": "whisper-1", "stream": "true"},
        timeout=60,
    )
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("\n\ndata: [DONE]\n\n")


@pytest.fixture(scope="module")
def meeting():
    """46 s: four clips between silences; and where each of them begins and ends."""
    names = ("question-en", "speech-library-en", "speech-bridge-en", "question-en")
    pieces, spans, at_s = [], [], 0.0
    for name, pause_s in zip(names, (2.0, 9.0, 11.0, 8.0), strict=True):
        said = clip(name)
        pieces += [silence(pause_s), said.waveform]
        spans.append((at_s + pause_s, at_s + pause_s + said.duration_s))
        at_s = spans[-1][1]
    pieces.append(silence(4.8))
    return Audio(np.concatenate(pieces), INPUT_SAMPLE_RATE), spans


def test_segments_of_a_long_recording_are_where_somebody_speaks(client, nano, meeting):
    recording, spans = meeting
    own = Heard.by(nano, recording).transcript.segments
    assert recording.duration_s > 40
    reply = client.audio.transcriptions.create(
        model="whisper-1", file=wav(recording), response_format="verbose_json"
    )
    assert [segment.id for segment in reply.segments] == list(range(len(spans)))
    for segment, (start_s, end_s) in zip(reply.segments, spans, strict=True):
        assert segment.start == pytest.approx(start_s, abs=0.3)
        assert segment.end == pytest.approx(end_s, abs=0.4)
        assert segment.seek == round(100 * segment.start)
    assert [segment.text for segment in reply.segments] == [segment.text for segment in own]
    assert reply.segments[-1].end <= reply.duration == pytest.approx(recording.duration_s, abs=1e-3)
    assert reply.text == " ".join(segment.text for segment in reply.segments)
    assert reply.usage.seconds == reply.duration


def test_a_long_stream_flows_into_its_text(client, nano, meeting):
    own = Heard.by(nano, meeting[0], again=False)
    with client.audio.transcriptions.create(
        model="whisper-1", file=wav(meeting[0]), stream=True
    ) as events:
        check_stream(events, own)


def test_hints_without_effect_are_named(client, question, said):
    raw = client.audio.transcriptions.with_raw_response.create(
        model="whisper-1",
        file=wav(question, "../../etc/passwd"),
        prompt="about countries",
        temperature=0,
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
    )
    assert raw.headers["x-ignored"] == "prompt, chunking_strategy"
    assert raw.parse().text == said.text


def test_a_language_is_a_hint_for_nano(client, nano, question):
    raw = client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=wav(question), language="en"
    )
    own_words = "en" in nano.capabilities.tasks.transcription_prompts
    assert raw.headers.get("x-ignored") == (None if own_words else "language")
    assert raw.parse().text == Heard.by(nano, question, language="en").text


def test_without_hints_nothing_is_ignored(client, question):
    raw = client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=wav(question), chunking_strategy="auto"
    )
    assert "x-ignored" not in raw.headers


@pytest.mark.parametrize(
    ("options", "status", "param", "code"),
    [
        ({"model": "gpt-9"}, 404, "model", "model_not_found"),
        ({"timestamp_granularities": ["word"]}, 400, "timestamp_granularities", None),
        ({"include": ["logprobs"]}, 400, "include", None),
        ({"language": "tlh"}, 400, "language", None),
        ({"response_format": "diarized_json"}, 400, "response_format", "literal_error"),
        ({"known_speaker_names": ["Ann"]}, 400, "known_speaker_names[]", "unsupported"),
        ({"extra_body": {"beam_size": "5"}}, 400, "beam_size", "unsupported"),
        ({"temperature": 2.5}, 400, "temperature", "less_than_equal"),
        ({"temperature": float("nan")}, 400, "temperature", None),
        ({"extra_body": {"top_k": "-1"}}, 400, "top_k", "greater_than_equal"),
        ({"extra_body": {"seed": str(2**70)}}, 400, "seed", None),
        ({"stream": True, "response_format": "srt"}, 400, "response_format", None),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(client, question, options, status, param, code):
    with pytest.raises(openai.APIStatusError) as refused:
        client.audio.transcriptions.create(
            **{"model": "whisper-1", "file": wav(question), **options}
        )
    assert (refused.value.status_code, refused.value.param) == (status, param)
    assert refused.value.type == "invalid_request_error"
    assert code is None or refused.value.code == code
    assert refused.value.request_id


NOISE = np.random.default_rng(0)
BROKEN = {
    "nothing": b"",
    "random": NOISE.bytes(20_000),
    "header": plain_file(Audio(np.zeros(0, np.float32), 16_000), "WAV"),
    "too short": plain_file(Audio(voice(0.05), 16_000), "WAV"),
    "half an m4a": container_file(Audio(voice(1.0), 16_000), "ipod", "aac")[:2000],
    "picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(500),
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "numbers": plain_file(Audio(np.full(9000, np.inf, np.float32), 16_000), "WAV", "FLOAT"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused(client, content, stream):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(
            model="whisper-1", file=("sound.mp3", content), stream=stream
        )
    assert (refused.value.code, refused.value.param) == ("invalid_audio", "file")
    assert "/" not in refused.value.body["message"]


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"model": "whisper-1"}},
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}},
        {"content": b"x" * 100, "headers": {"content-type": "application/octet-stream"}},
        {"data": {"model": "whisper-1", "file": "sound.wav"}},
        {"data": {"model": "whisper-1"}},
        {"files": [("file", b"x")] * 1001},
        {"files": {"file": b"x", "other": b"x"}, "data": {"model": "whisper-1"}},
    ],
)
@pytest.mark.parametrize("route", ["transcriptions", "translations"])
def test_wrong_forms_are_refused(nano_site, route, sent):
    reply = httpx.post(f"{nano_site.url}/v1/audio/{route}", **sent)
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("waveform", [silence(2), NOISE.normal(0, 0.004, 32_000)])
def test_where_nobody_speaks_the_text_is_empty(client, waveform):
    file = wav(Audio(waveform.astype(np.float32), 16_000))

    def asked(**options):
        return client.audio.transcriptions.create(model="whisper-1", file=file, **options)

    assert (asked().text, asked().usage.total_tokens) == ("", 0)
    verbose = asked(response_format="verbose_json")
    assert (verbose.text, verbose.segments, verbose.duration) == ("", [], 2.0)
    assert asked(response_format="text") == ""
    assert asked(response_format="srt") == ""
    assert asked(response_format="vtt") == "WEBVTT\n"
    (done,) = asked(stream=True)
    assert (done.type, done.text, done.usage.total_tokens) == ("transcript.text.done", "", 0)
