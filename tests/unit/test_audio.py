"""Sounds as values: reading, mixing down, resampling, checks, encoding."""

import io

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
