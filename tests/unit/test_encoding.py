"""Every format, made in pieces: it decodes again, leaves early and lasts as long as was asked."""

import io

import av
import numpy as np
import pytest
import soundfile

from kimi_demo.audio import Audio, read
from kimi_demo.encoding import MAX_SPEED, MIN_SPEED, SoundEncoder, encoded

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
LOSSLESS = ("flac", "wav", "pcm")
RATE = 24_000
TONE_HZ = 440.0
# The most that encoders of a lossy format put before and after the sound.
PADDING_S = 0.1


def tone(seconds, sample_rate=RATE):
    return (
        0.3 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(seconds * sample_rate)) / sample_rate)
    ).astype(np.float32)


def sweep(seconds):
    """It is like itself at one place only, so that a delay can be measured."""
    at = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * (200 + 400 * at) * at)).astype(np.float32)


def decoded(data, format):
    """The sound of a file, or of the first part of one."""
    if format == "pcm":
        return Audio(np.frombuffer(data, "<i2").astype(np.float32) / 32767, RATE)
    with av.open(io.BytesIO(data)) as container:
        mono = av.AudioResampler(format="flt", layout="mono", rate=container.streams[0].rate)
        frames = [part for frame in container.decode(audio=0) for part in mono.resample(frame)]
        return Audio(np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].rate)


def pieces(waveform, sizes=(1, 239, 1000, 77, 5001)):
    position, turn = 0, 0
    while position < len(waveform):
        size = sizes[turn % len(sizes)]
        yield waveform[position : position + size]
        position, turn = position + size, turn + 1


def streamed(waveform, format, sample_rate=RATE, speed=1.0):
    encoder = SoundEncoder(format, sample_rate, speed)
    return b"".join([*map(encoder.push, pieces(waveform)), encoder.finish()])


def likeness(first, second):
    """Largest correlation coefficient over all delays."""
    size = len(first) + len(second)
    product = np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size))
    largest = np.abs(np.fft.irfft(product, size)).max()
    return largest / np.linalg.norm(first) / np.linalg.norm(second)


def dominant_hz(sound):
    spectrum = np.abs(np.fft.rfft(sound.waveform * np.hanning(len(sound.waveform))))
    return np.argmax(spectrum) * sound.sample_rate / len(sound.waveform)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "make", [streamed, lambda sound, format: encoded(Audio(sound, RATE), format)]
)
def test_each_format_decodes_again(format, make):
    sound = sweep(1.5)
    heard = decoded(make(sound, format), format).resampled(RATE)
    assert 0 <= heard.duration_s - 1.5 < PADDING_S
    assert likeness(sound, heard.waveform) > 0.98


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "pcm"])
def test_a_streamed_file_is_one_that_we_read(format, tmp_path):
    path = tmp_path / f"speech.{format}"
    path.write_bytes(streamed(tone(1.0), format))
    assert 0 <= read(path).duration_s - 1.0 < PADDING_S


@pytest.mark.parametrize("format", FORMATS)
def test_sizes_of_pieces_do_not_matter(format):
    sound = sweep(1.0)
    encoder = SoundEncoder(format, RATE)
    assert encoder.push(sound) + encoder.finish() == streamed(sound, format)


@pytest.mark.parametrize("format", LOSSLESS)
def test_nothing_is_lost_without_compression(format):
    sound = Audio(sweep(0.7), RATE)
    for data in (streamed(sound.waveform, format), encoded(sound, format)):
        assert decoded_pcm(data, format) == sound.pcm16()


def decoded_pcm(data, format):
    if format == "pcm":
        return data
    with av.open(io.BytesIO(data)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_leave_while_the_sound_is_made(format):
    encoder = SoundEncoder(format, RATE)
    begun = b"".join(encoder.push(piece) for piece in pieces(tone(0.5)))
    encoder.close()
    assert decoded(begun, format).duration_s > 0.35  # at most 0.15 s are held back


@pytest.mark.parametrize("format", FORMATS)
def test_the_first_bytes_of_sound_come_within_a_tenth_of_a_second(format):
    encoder = SoundEncoder(format, RATE)
    header = encoder.push(np.zeros(0, np.float32))
    pushed = 0
    for piece in pieces(tone(0.5), sizes=(240,)):
        pushed += len(piece)
        if encoder.push(piece):
            break
    encoder.close()
    assert pushed <= 0.12 * RATE
    assert len(header) < 128


@pytest.mark.parametrize("format", FORMATS)
def test_a_faster_sound_leaves_early_too(format):
    encoder = SoundEncoder(format, RATE, speed=2.0)
    begun = b"".join(encoder.push(piece) for piece in pieces(tone(0.8)))
    encoder.close()
    assert decoded(begun, format).duration_s > 0.2


@pytest.mark.parametrize("speed", [MIN_SPEED, 0.5, 0.7, 1.5, 2.0, MAX_SPEED])
def test_speed_changes_the_length_and_not_the_pitch(speed):
    for format in ("wav", "opus"):
        heard = decoded(streamed(tone(3.0), format, speed=speed), format)
        assert heard.duration_s == pytest.approx(3.0 / speed, rel=0.03)
        assert dominant_hz(heard) == pytest.approx(TONE_HZ, rel=0.01)


@pytest.mark.parametrize("speed", [0.5, 2.0])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_takes_a_speed(format, speed):
    heard = decoded(streamed(tone(2.0), format, speed=speed), format)
    assert -0.03 * 2.0 / speed <= heard.duration_s - 2.0 / speed < PADDING_S
    assert dominant_hz(heard) == pytest.approx(TONE_HZ, rel=0.01)


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("format", FORMATS)
def test_any_sample_rate_is_taken(format, sample_rate):
    heard = decoded(streamed(tone(1.0, sample_rate), format, sample_rate), format)
    assert 0 <= heard.duration_s - 1.0 < PADDING_S
    assert dominant_hz(heard) == pytest.approx(TONE_HZ, rel=0.01)


def test_wav_says_its_length_where_it_is_known():
    sound = Audio(tone(0.5), RATE)
    assert encoded(sound, "wav") == sound.wav()
    unknown = streamed(sound.waveform, "wav")
    assert unknown[4:8] == unknown[40:44] == b"\xff" * 4
    assert unknown[44:] == sound.pcm16()


@pytest.mark.parametrize("format", ["flac", "mp3"])
def test_other_whole_files_say_theirs(format):
    data = encoded(Audio(tone(0.5), RATE), format)
    assert soundfile.info(io.BytesIO(data)).frames == 0.5 * RATE


def test_a_whole_flac_is_read_by_libsndfile_and_a_streamed_one_without_seeking(tmp_path):
    sound = Audio(sweep(0.7), RATE)
    whole, rate = soundfile.read(io.BytesIO(encoded(sound, "flac")), dtype="int16")
    assert (whole.astype("<i2").tobytes(), rate) == (sound.pcm16(), RATE)
    begun = streamed(sound.waveform, "flac")
    assert int.from_bytes(begun[18:26]) % 2**36 == 0  # FLAC's way to say "unknown"
    path = tmp_path / "begun.flac"
    path.write_bytes(begun)
    assert read(path).pcm16() == sound.pcm16()  # libsndfile, told not to seek


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_no_sound_makes_a_file_all_the_same(format, speed):
    for data in (streamed(tone(0), format, speed=speed), encoded(Audio(tone(0), RATE), format)):
        if format in LOSSLESS:
            assert decoded_pcm(data, format) == b""
        else:
            assert not decoded(data, format).waveform.any()


def test_loud_sound_is_clipped():
    assert np.frombuffer(streamed(2 * tone(0.1) / 0.3, "pcm"), "<i2").max() == 32767


def test_what_cannot_be_made_is_refused():
    for make in (lambda: SoundEncoder("midi", RATE), lambda: encoded(Audio(tone(1), RATE), "midi")):
        with pytest.raises(ValueError, match="no format 'midi': choose one of mp3, opus"):
            make()
    for speed in (0.2, 4.1, float("nan")):
        with pytest.raises(ValueError, match=r"outside 0\.25 to 4\.0"):
            SoundEncoder("wav", RATE, speed)
