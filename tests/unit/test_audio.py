"""Sounds as values: reading, mixing down, resampling, checks, encoding."""

import io
import tempfile
import tracemalloc
from contextlib import suppress

import av
import numpy as np
import pytest
import soundfile

from kimi_demo import audio
from kimi_demo.audio import Audio, check_heard, from_samples, to_int16
from kimi_demo.errors import AudioError


def tone(seconds=1.0, sample_rate=16_000, hz=440.0, level=0.5):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Audio((level * np.sin(2 * np.pi * hz * time)).astype(np.float32), sample_rate)


def dominant_hz(sound):
    spectrum = np.abs(np.fft.rfft(sound.waveform * np.hanning(len(sound.waveform))))
    return spectrum.argmax() * sound.sample_rate / len(sound.waveform)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_length_and_pitch(rate):
    sound = tone(sample_rate=rate).resampled(16_000)
    assert sound.sample_rate == 16_000
    assert sound.duration_s == pytest.approx(1.0, abs=0.001)
    assert dominant_hz(sound) == pytest.approx(440.0, abs=1.5)
    assert sound.waveform.dtype == np.float32


def test_resampling_removes_what_the_new_rate_cannot_hold():
    sound = tone(sample_rate=48_000, hz=10_000.0).resampled(16_000)
    assert np.abs(sound.waveform[800:-800]).max() < 0.001


def test_the_same_rate_is_the_same_sound():
    sound = tone()
    assert sound.resampled(16_000) is sound


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_common_files_are_read(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    sound = tone(sample_rate=44_100)
    soundfile.write(path, np.stack([sound.waveform, sound.waveform], axis=1), 44_100)
    read = audio.read(path)
    assert read.sample_rate == 44_100
    assert read.duration_s == pytest.approx(1.0, abs=0.06)
    assert dominant_hz(read) == pytest.approx(440.0, abs=2.0)


def test_a_stereo_file_is_mixed_down(tmp_path):
    path = tmp_path / "stereo.wav"
    left, right = np.full(1600, 0.5), np.full(1600, -0.1)
    soundfile.write(path, np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    assert audio.read(path).waveform == pytest.approx(np.full(1600, 0.2))


def write_container(path, codec, levels=(0.5, 0.5), sample_rate=48_000, seconds=1.0, options=None):
    """A tone with one level for each channel, as phones and browsers store it; `options` reach the
    muxer.
    """
    channels = np.stack([tone(seconds, sample_rate, level=level).waveform for level in levels])
    layout = {1: "mono", 2: "stereo"}[len(levels)]
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=sample_rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
        frame.sample_rate = sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_video(path):
    """Pictures without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [("m4a", "aac", 44_100), ("mp4", "aac", 16_000), ("webm", "libopus", 48_000)],
)
def test_files_of_phones_and_browsers_are_read(tmp_path, suffix, codec, rate):
    path = tmp_path / f"tone.{suffix}"
    write_container(path, codec, sample_rate=rate)
    read = audio.read(path)
    assert read.sample_rate == rate
    assert read.waveform.dtype == np.float32
    assert read.duration_s == pytest.approx(1.0, abs=0.1)
    assert dominant_hz(read) == pytest.approx(440.0, abs=2.0)
    assert np.abs(read.waveform).max() == pytest.approx(0.5, abs=0.05)


def test_channels_of_a_container_are_mixed_to_their_mean(tmp_path):
    path = tmp_path / "stereo.webm"
    write_container(path, "libopus", levels=(0.8, 0.2))
    assert np.abs(audio.read(path).waveform[4800:-4800]).max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("suffix", ["wav", "m4a", "webm"])
def test_a_file_that_lasts_too_long_is_refused(tmp_path, suffix):
    path = tmp_path / f"long.{suffix}"
    if suffix == "wav":
        soundfile.write(path, tone(3.0).waveform, 16_000)
    else:
        write_container(path, {"m4a": "aac", "webm": "libopus"}[suffix], seconds=3.0)
    with pytest.raises(AudioError, match="lasts 3 s and at most 2 s"):
        audio.read(path, max_duration_s=2.0)


def test_a_recording_without_a_stated_duration_is_cut_off_while_it_is_decoded(
    tmp_path, monkeypatch
):
    path = tmp_path / "live.webm"
    write_container(path, "libopus", seconds=30.0, options={"live": "1"})
    with av.open(str(path)) as container:
        assert container.duration is None
    decoded = []
    real = audio._float_frames

    def counted(*args):
        for frame in real(*args):
            decoded.append(frame.samples)
            yield frame

    monkeypatch.setattr(audio, "_float_frames", counted)
    with pytest.raises(AudioError, match="at most 2 s"):
        audio.read(path, max_duration_s=2.0)
    assert sum(decoded) < 2.2 * 48_000


def test_pictures_without_sound_are_refused(tmp_path):
    path = tmp_path / "silent.mp4"
    write_video(path)
    with pytest.raises(AudioError, match="no sound"):
        audio.read(path)


@pytest.mark.parametrize("suffix", ["m3u8", "mp4"])
def test_playlists_open_no_other_file(tmp_path, suffix):
    write_container(tmp_path / "other.m4a", "aac")
    lists = {
        "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.m4a\n#EXT-X-ENDLIST\n",
        "mp4": "ffconcat version 1.0\nfile other.m4a\n",
    }
    path = tmp_path / f"list.{suffix}"
    path.write_text(lists[suffix], encoding="utf-8")
    with pytest.raises(AudioError, match="cannot be read"):
        audio.read(path)


def test_addresses_are_no_files(tmp_path):
    for address in ("http://localhost:9/sound.m4a", f"file:{tmp_path}/sound.m4a", "pipe:0"):
        with pytest.raises(AudioError, match="cannot be read"):
            audio.read(address)


@pytest.mark.parametrize("kept", [0.01, 0.5])
def test_a_broken_container_is_refused(tmp_path, kept):
    path = tmp_path / "broken.m4a"
    write_container(path, "aac")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(AudioError, match=r"broken\.m4a"):
        audio.read(path)


@pytest.mark.parametrize("content", [b"", b"not a sound at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_a_file_that_is_no_sound_is_refused(tmp_path, content):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"broken\.wav|empty"):
        audio.read(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "missing.wav", tmp_path):
        with pytest.raises(AudioError, match="cannot be read"):
            audio.read(path)


def test_a_file_without_samples_is_refused(tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(AudioError, match="empty"):
        audio.read(path)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        (np.array([[0.5, 0.0], [1.0, -1.0]]), [0.25, 0.0]),
        (np.array([0.25, -0.25], np.float64), [0.25, -0.25]),
    ],
)
def test_samples_of_recorders_become_floats(samples, expected):
    sound = from_samples(samples, 48_000)
    assert sound.waveform.tolist() == expected
    assert sound.waveform.dtype == np.float32
    assert sound.sample_rate == 48_000


@pytest.mark.parametrize("samples", [np.zeros(0), np.array([0.1, np.nan]), np.array([np.inf])])
def test_samples_that_are_no_sound_are_refused(samples):
    with pytest.raises(AudioError):
        from_samples(samples, 16_000)


def test_impossible_shapes_and_rates_are_refused():
    with pytest.raises(AudioError, match="one channel"):
        Audio(np.zeros((2, 10), np.float32), 16_000)
    with pytest.raises(AudioError, match="sample rate"):
        Audio(np.zeros(10, np.float32), 0)


def test_checks_of_what_is_to_be_heard():
    assert check_heard(sound := tone(), 30.0) is sound
    with pytest.raises(AudioError, match="shorter"):
        check_heard(tone(0.05), 30.0)
    with pytest.raises(AudioError, match="31 s and at most 30 s"):
        check_heard(tone(31.0), 30.0)
    with pytest.raises(AudioError, match="silent"):
        check_heard(tone(level=0.001), 30.0)


def test_samples_are_clipped_and_never_rescaled():
    waveform = np.array([0.0, 0.5, 1.0, 1.5, -1.0, -2.0], np.float32)
    assert to_int16(waveform).tolist() == [0, 16384, 32767, 32767, -32767, -32767]


def test_a_wav_file_holds_the_pcm_samples():
    sound = tone(0.1, 24_000)
    samples, rate = soundfile.read(io.BytesIO(sound.wav()), dtype="int16")
    assert rate == 24_000
    assert samples.astype("<i2").tobytes() == sound.pcm16()


def stored(sound, format_, subtype=None, channels=1):
    """A file of a sound in memory, each channel alike."""
    file = io.BytesIO()
    samples = np.repeat(sound.waveform[:, None], channels, axis=1)
    soundfile.write(file, samples, sound.sample_rate, format=format_, subtype=subtype)
    file.seek(0)
    return file


def patched(file, place, value):
    """The same bytes with a lie in the header."""
    content = bytearray(file.getvalue())
    content[place : place + len(value)] = value
    return io.BytesIO(bytes(content))


@pytest.mark.parametrize(
    ("format_", "subtype", "rate"),
    [
        ("WAV", "PCM_U8", 8_000),
        ("WAV", "PCM_24", 44_100),
        ("WAV", "PCM_32", 22_050),
        ("WAV", "DOUBLE", 96_000),
        ("FLAC", None, 192_000),
        ("MP3", None, 44_100),
        ("OGG", "VORBIS", 44_100),
        ("OGG", "OPUS", 48_000),
    ],
)
def test_a_file_is_the_same_sound_in_blocks_and_at_once(format_, subtype, rate):
    file = stored(tone(9.0, rate), format_, subtype, channels=2)
    samples, _ = soundfile.read(file, dtype="float32", always_2d=True)
    at_once = Audio(samples.mean(axis=1), rate)
    for wanted in (None, 16_000):
        file.seek(0)
        sound = audio.decode(file, sample_rate=wanted)
        expected = at_once.resampled(wanted or rate)
        assert sound.sample_rate == expected.sample_rate
        np.testing.assert_allclose(sound.waveform, expected.waveform, rtol=0, atol=1e-6)
        assert sound.waveform.dtype == np.float32


def test_containers_are_resampled_on_the_way(tmp_path):
    path = tmp_path / "tone.m4a"
    write_container(path, "aac", sample_rate=44_100, seconds=3.0)
    on_the_way, afterwards = audio.read(path, sample_rate=16_000), audio.read(path)
    expected = afterwards.resampled(16_000).waveform
    np.testing.assert_allclose(on_the_way.waveform, expected, rtol=0, atol=1e-5)


def test_a_file_is_left_open_and_its_name_is_not_asked():
    file = stored(tone(), "WAV")
    file.name = "/etc/passwd"
    assert audio.decode(file).duration_s == 1.0
    assert not file.closed


@pytest.mark.parametrize("in_memory", [10**6, 100])
def test_uploads_are_read_wherever_they_are_kept(tmp_path, in_memory):
    path = tmp_path / "tone.m4a"
    write_container(path, "aac")
    for content in (path.read_bytes(), stored(tone(), "WAV").getvalue()):
        with tempfile.SpooledTemporaryFile(in_memory) as file:
            file.write(content)
            file.seek(0)
            assert audio.decode(file).duration_s == pytest.approx(1.0, abs=0.1)


def test_a_header_that_promises_more_than_there_is_takes_no_memory():
    claimed = 3000 * 16_000  # samples: 50 minutes, where there is a second
    size = (2 * claimed).to_bytes(4, "little")
    lying = patched(stored(tone(), "WAV"), 40, size)
    tracemalloc.start()
    try:
        assert audio.decode(lying).duration_s == pytest.approx(1.0, abs=0.01)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4e6


def flac_claiming(sample_rate, channels, samples):
    """A flac file with another stream header: 20 bits of rate, 3 of channels - 1, 5 of bits a
    sample - 1, 36 of samples.
    """
    fields = sample_rate << 44 | (channels - 1) << 41 | 15 << 36 | samples
    return patched(stored(tone(), "FLAC"), 18, fields.to_bytes(8, "big"))


def test_the_forged_flac_header_has_the_right_place():
    assert audio.decode(flac_claiming(16_000, 1, 16_000)).duration_s == 1.0


def test_a_flac_stream_of_unstated_length_is_read():
    assert audio.decode(flac_claiming(16_000, 1, 0)).duration_s == 1.0


def test_a_forged_rate_is_refused_before_anything_is_decoded():
    with pytest.raises(AudioError, match="655350 samples a second"):
        audio.decode(flac_claiming(655_350, 8, 655_350 * 3))


def test_too_many_channels_are_refused():
    assert audio.decode(stored(tone(0.2), "WAV", channels=16)).duration_s == pytest.approx(0.2)
    with pytest.raises(AudioError, match="17 channels and at most 16"):
        audio.decode(stored(tone(0.2), "WAV", channels=17))


@pytest.mark.parametrize("rate", [500, 400_000])
def test_rates_of_no_recorder_are_refused(rate):
    with pytest.raises(AudioError, match=f"{rate} samples a second"):
        audio.decode(stored(tone(0.2, rate), "WAV"))


def test_a_length_that_no_header_states_is_counted_while_it_is_decoded(monkeypatch):
    blocks = []
    real = audio._Sink.take

    def counted(self, block):
        blocks.append(len(block))
        real(self, block)

    monkeypatch.setattr(audio._Sink, "take", counted)
    with pytest.raises(AudioError, match="at most 2 s"):
        audio.decode(flac_of_unstated_length(120.0), max_duration_s=2.0)
    assert sum(blocks) <= 2.0 * 16_000 + audio._BLOCK_SAMPLES


def flac_of_unstated_length(seconds):
    file = stored(Audio(np.zeros(round(seconds * 16_000), np.float32), 16_000), "FLAC")
    return patched(file, 18, (16_000 << 44 | 15 << 36).to_bytes(8, "big"))


def png():
    """A picture's first bytes, and zeros."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x20\x00\x00\x00\x20" + bytes(5000)


NO_SOUNDS = {
    "nothing": b"",
    "random": np.random.default_rng(0).bytes(50_000),
    "picture": png(),
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "list": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "page": b"<!doctype html><title>404</title>" * 100,
    "header": stored(Audio(np.zeros(0, np.float32), 16_000), "WAV").getvalue(),
    "numbers": stored(Audio(np.full(100, np.nan, np.float32), 16_000), "WAV", "FLOAT").getvalue(),
}


@pytest.mark.parametrize("content", NO_SOUNDS.values(), ids=NO_SOUNDS)
def test_what_is_no_sound_is_refused_without_a_path(content):
    with pytest.raises(AudioError) as refused:
        audio.decode(io.BytesIO(content))
    assert "/" not in str(refused.value)


@pytest.mark.parametrize("format_", ["WAV", "FLAC", "MP3", "OGG", "m4a", "webm"])
def test_broken_files_are_refused_or_read_as_far_as_they_go(format_, tmp_path):
    if format_ in ("m4a", "webm"):
        path = tmp_path / f"tone.{format_}"
        write_container(path, {"m4a": "aac", "webm": "libopus"}[format_])
        content = path.read_bytes()
    else:
        content = stored(tone(), format_).getvalue()
    rng = np.random.default_rng(0)
    for _ in range(30):
        broken = np.frombuffer(content, np.uint8)[: rng.integers(len(content))].copy()
        broken[rng.integers(0, max(1, min(300, len(broken))), 5) % max(1, len(broken))] = 255
        with suppress(AudioError):
            assert audio.decode(io.BytesIO(broken.tobytes()), 60.0, 16_000).duration_s <= 60.0
