"""The sentences of the domain, the corpus on disk, and the synthesisers if they are installed."""

import argparse
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training import corpus, domain, domain_zh, inflection, numerals, shapes
from training.phones import (
    ENGLISH_PHONES,
    MANDARIN_PHONES,
    NEUTRAL_TONE,
    PAUSE,
    PHONES,
    mandarin_phones,
    phones_of_mnemonic,
    tone_of_digits,
)
from training.sentences import HELD_OUT_PERIOD
from training.synthesizers import (
    LEADING_SILENCE_S,
    MANDARIN_VOICE,
    SAMPLE_RATE_HZ,
    TRAILING_SILENCE_S,
    EspeakSynthesizer,
    FliteSynthesizer,
    Phone,
    SynthesizerUnavailableError,
    Utterance,
    utterance_at_16_khz,
)

SENTENCES = 20_000


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    rng = random.Random(11)
    return [domain.SENTENCES.draw_for_training(rng) for _ in range(SENTENCES)]


# ---- sentences ----------------------------------------------------------------------------------


def test_same_generator_state_gives_the_same_sentences() -> None:
    first, second, other = random.Random(3), random.Random(3), random.Random(4)
    spoken = [domain.SENTENCES.draw(first) for _ in range(200)]
    assert spoken == [domain.SENTENCES.draw(second) for _ in range(200)]
    assert spoken != [domain.SENTENCES.draw(other) for _ in range(200)]


def test_sentences_are_plain_lower_case_of_the_promised_length(sentences: list[str]) -> None:
    for text in sentences:
        assert re.fullmatch(r"[a-z][a-z',. ]*[.?]", text), text
        assert len(domain.words_of(text)) in domain.SENTENCES.lengths, text
        assert "  " not in text
        assert " ," not in text


def test_the_whole_vocabulary_is_spoken(sentences: list[str]) -> None:
    spoken = Counter(word for text in sentences for word in domain.words_of(text))
    missing = [word for word in domain.domain_words() if not spoken[word]]
    assert len(missing) <= 0.01 * len(domain.domain_words()), missing


def test_sentences_seldom_repeat(sentences: list[str]) -> None:
    assert len(set(sentences)) > 0.75 * len(sentences)


def test_every_slot_of_the_grammar_is_defined() -> None:
    rules = domain._rules()
    for name, (texts, _) in rules.items():
        for slot in domain._SLOT.finditer(" ".join(texts)):
            assert slot[1] in rules or slot[1] in numerals.SLOTS, f"[{name}] asks for {slot[1]}"


def test_held_out_sentences_are_never_trained_on(sentences: list[str]) -> None:
    assert not any(domain.SENTENCES.is_held_out(text) for text in sentences)
    trained = {tuple(domain.words_of(text)) for text in sentences}
    held_out = domain.SENTENCES.read_held_out()
    assert len(held_out) == domain.HELD_OUT_COUNT == len(set(held_out))
    for text in held_out:
        assert domain.SENTENCES.is_held_out(text), text
        assert tuple(domain.words_of(text)) not in trained


def test_holding_out_does_not_depend_on_case_or_punctuation() -> None:
    for text in domain.SENTENCES.read_held_out():
        assert domain.SENTENCES.is_held_out(text.upper().replace(",", " ").rstrip(".?") + "!")


def test_one_sentence_in_forty_is_held_out() -> None:
    drawn = {" ".join((a, b, c)) for a in "abcdefgh" for b in "ijklmnop" for c in _hundred_words()}
    share = sum(map(domain.SENTENCES.is_held_out, drawn)) / len(drawn)
    assert share == pytest.approx(1 / HELD_OUT_PERIOD, rel=0.15)


def _hundred_words() -> list[str]:
    return [numerals.in_words(number) for number in range(100)]


def test_the_words_of_the_held_out_sentences_are_trained(sentences: list[str]) -> None:
    spoken = {word for text in sentences for word in domain.words_of(text)}
    asked = {word for text in domain.SENTENCES.read_held_out() for word in domain.words_of(text)}
    assert asked - spoken == set()


@pytest.mark.parametrize(
    ("number", "spoken"),
    [
        (0, "zero"),
        (21, "twenty one"),
        (100, "one hundred"),
        (342, "three hundred and forty two"),
        (2005, "two thousand and five"),
        (9999, "nine thousand nine hundred and ninety nine"),
    ],
)
def test_numbers_are_read_out(number: int, spoken: str) -> None:
    assert numerals.in_words(number, with_and=True) == spoken


@pytest.mark.parametrize(
    ("year", "spoken"),
    [
        (1962, "nineteen sixty two"),
        (1900, "nineteen hundred"),
        (2007, "two thousand seven"),
        (1805, "eighteen o five"),
    ],
)
def test_years_are_read_out(year: int, spoken: str) -> None:
    assert numerals.year_in_words(year) == spoken


@pytest.mark.parametrize(
    ("entry", "form", "word"),
    [
        ("book", None, "book"),
        ("man~men", "s", "men"),
        ("box", "s", "boxes"),
        ("carry", "s", "carries"),
        ("play", "s", "plays"),
        ("have/had", "s", "has"),
        ("eat/ate", "past", "ate"),
        ("stop", "past", "stopped"),
        ("try", "past", "tried"),
        ("run/ran", "ing", "running"),
        ("make/made", "ing", "making"),
        ("see/saw", "ing", "seeing"),
    ],
)
def test_words_are_inflected(entry: str, form: str | None, word: str) -> None:
    assert inflection.inflected(entry, form) == word


# ---- corpus -------------------------------------------------------------------------------------


def _utterance(text: str, num_samples: int, first_value: int) -> Utterance:
    waveform = np.arange(first_value, first_value + num_samples, dtype=np.int16)
    end_s = num_samples / SAMPLE_RATE_HZ
    phones = (Phone(PAUSE, 0.0, 0.01), Phone("ah", 0.01, end_s))
    return Utterance(text, waveform, SAMPLE_RATE_HZ, phones)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training shards of one voice and a held-out one of another."""
    corpus.write_shard(tmp_path / "slt" / "000", "slt", [_utterance("one.", 320, 0)])
    pair = [_utterance("two.", 480, 1000), _utterance("three?", 160, 2000)]
    corpus.write_shard(tmp_path / "slt" / "001", "slt", pair)
    corpus.write_shard(tmp_path / "heldout-slt" / "000", "heldout-slt", [_utterance("x.", 16, 9)])
    return tmp_path


def test_a_written_corpus_is_read_back(root: Path) -> None:
    read = corpus.Corpus(root)
    assert len(read) == 3
    assert read.lengths.tolist() == [320, 480, 160]
    assert [item.text for item in read] == ["one.", "two.", "three?"]
    last = read[2]
    assert last.voice == "slt"
    assert last.waveform.dtype == np.int16
    np.testing.assert_array_equal(last.waveform, np.arange(2000, 2160))
    assert last.phones == ((PAUSE, 10), ("ah", 10))
    assert read.hours() == pytest.approx(960 / SAMPLE_RATE_HZ / 3600)


def test_held_out_speech_is_read_only_on_request(root: Path) -> None:
    assert all(item.voice == "slt" for item in corpus.Corpus(root))
    assert [item.text for item in corpus.Corpus(root, ["heldout-slt"])] == ["x."]


def test_a_missing_voice_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="rms"):
        corpus.Corpus(root, ["rms"])
    with pytest.raises(FileNotFoundError, match="generate"):
        corpus.Corpus(tmp_path / "nowhere")


def test_an_interrupted_shard_is_not_read_and_is_made_anew(root: Path) -> None:
    def breaks_off() -> object:
        yield _utterance("four.", 160, 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corpus.write_shard(root / "slt" / "002", "slt", breaks_off())
    assert len(corpus.Corpus(root)) == 3
    corpus.write_shard(root / "slt" / "002", "slt", [_utterance("five.", 160, 0)])
    assert [item.text for item in corpus.Corpus(root)][-1] == "five."


def test_shards_are_seeded_apart_and_hold_the_hours_asked_for(tmp_path: Path) -> None:
    jobs = corpus.shard_jobs(
        tmp_path, [corpus.VoiceSpec("slt", 2), corpus.VoiceSpec("rms", 0.1)], 1
    )
    trained = [job for job in jobs if job.sentences is None]
    assert len({job.seed for job in trained}) == len(trained) == 5
    hours = Counter[str]()
    for job in trained:
        hours[job.voice] += job.hours
    assert hours == {"slt": 2, "rms": 0.1}


def test_unknown_voices_are_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        corpus.VoiceSpec("nobody", 1)
    with pytest.raises(ValueError, match="positive"):
        corpus.VoiceSpec("slt", 0)


def test_what_is_known_of_a_sound_is_read_back(tmp_path: Path) -> None:
    known = {
        "events": (("dog", 100, 300), ("bell", 200, 900)),
        "emotion": "sad",
        "tasks": (("caption", "", "a dog."), ("ask", "这是什么声音？", "狗叫声。")),
    }
    sound = Utterance("", np.zeros(160, np.int16), SAMPLE_RATE_HZ, (), **known)
    corpus.write_shard(tmp_path / "sounds" / "000", "sounds", [sound, _utterance("a.", 16, 0)])
    read, plain = corpus.Corpus(tmp_path)
    assert {name: getattr(read, name) for name in known} == known
    assert read.phones == ()
    assert (plain.events, plain.emotion, plain.tasks) == ((), None, ())


def test_a_full_corpus_has_both_output_voices_and_many_speakers() -> None:
    parser = argparse.ArgumentParser()
    corpus.add_arguments(parser)
    args = parser.parse_args(["--out", "x", "--hours-mandarin", "0.5"])
    assert (args.hours_slt, args.hours_mandarin) == (corpus.DEFAULT_HOURS["slt"], 0.5)
    assert set(shapes.OUTPUT_VOICES.values()) < set(corpus.DEFAULT_HOURS) < set(corpus.VOICES)
    assert "rms" not in corpus.DEFAULT_HOURS  # evaluation alone hears it
    spoken = {voice: corpus.language_of(voice) for voice in corpus.VOICES}
    assert {v for v, language in spoken.items() if language == "zh"} == {"mandarin", "espeak-zh"}
    assert {spoken[voice] for voice in shapes.OUTPUT_VOICES.values()} == {"en", "zh"}
    for language, voice in shapes.OUTPUT_VOICES.items():
        assert corpus.language_of(voice) == language


def test_every_voice_holds_out_the_sentences_of_its_language(tmp_path: Path) -> None:
    specs = [corpus.VoiceSpec(voice, 0.1) for voice in ("slt", "mandarin")]
    english, mandarin = (job for job in corpus.shard_jobs(tmp_path, specs, 1) if job.sentences)
    assert english.sentences == tuple(domain.SENTENCES.read_held_out())
    assert mandarin.sentences == tuple(domain_zh.SENTENCES.read_held_out())
    assert mandarin.folder == tmp_path / "heldout-mandarin" / "000"


def test_phonetic_sentences_are_any_common_characters() -> None:
    common = corpus._common_characters()
    assert len(set(common)) == len(common) == 3755
    rng = random.Random(2)
    for _ in range(100):
        text = corpus.phonetic_sentence(rng)
        assert 4 <= len(domain_zh.hanzi_of(text)) <= 14
        assert set(text) <= {*common, "。"}


# ---- synthesisers -------------------------------------------------------------------------------


def test_silences_are_cut_to_length_and_pauses_joined() -> None:
    waveform = np.zeros(SAMPLE_RATE_HZ, np.int16)
    waveform[8000:9600] = 1000
    ends = [(PAUSE, 0.3), (PAUSE, 0.5), ("aa", 0.6), (PAUSE, 0.7), (PAUSE, 1.0)]
    spoken = utterance_at_16_khz("a.", waveform, SAMPLE_RATE_HZ, ends)
    assert [phone.name for phone in spoken.phones] == [PAUSE, "aa", PAUSE]
    assert spoken.phones[1].start_s == pytest.approx(LEADING_SILENCE_S)
    assert spoken.phones[1].end_s == pytest.approx(LEADING_SILENCE_S + 0.1)
    samples = round((LEADING_SILENCE_S + 0.1 + TRAILING_SILENCE_S) * SAMPLE_RATE_HZ)
    assert len(spoken.waveform) == samples
    assert np.flatnonzero(spoken.waveform)[0] == round(LEADING_SILENCE_S * SAMPLE_RATE_HZ)


def test_speech_without_silence_is_padded_and_resampled() -> None:
    waveform = np.full(22_050, 500, np.int16)
    spoken = utterance_at_16_khz("a.", waveform, 22_050, [("aa", 0.5), ("b", 1.0)])
    expected_s = LEADING_SILENCE_S + 1.0 + TRAILING_SILENCE_S
    assert len(spoken.waveform) == pytest.approx(expected_s * SAMPLE_RATE_HZ, abs=2)
    assert [phone.name for phone in spoken.phones] == [PAUSE, "aa", "b", PAUSE]
    assert spoken.phones[2].end_s == pytest.approx(LEADING_SILENCE_S + 1.0, abs=1e-3)


def test_espeak_mnemonics_become_phones_of_the_inventory() -> None:
    assert phones_of_mnemonic("dZ") == ("jh",)
    assert phones_of_mnemonic("'oU") == ("ow",)
    assert phones_of_mnemonic("A@") == ("aa", "r")
    assert phones_of_mnemonic("I37") == ("ih",)
    assert phones_of_mnemonic("%%%Q") is None


def test_phones_are_all_different_and_mandarin_has_its_own() -> None:
    assert len(set(PHONES)) == len(PHONES) == 1 + len(ENGLISH_PHONES) + len(MANDARIN_PHONES)
    assert all(name.startswith("zh:") for name in MANDARIN_PHONES)
    assert PHONES[:41] == (PAUSE, *ENGLISH_PHONES)  # rows of readouts that were trained before


def test_mandarin_mnemonics_become_consonants_and_vowels_with_a_tone() -> None:
    assert mandarin_phones("tS;h", 4) == ("zh:q",)
    assert mandarin_phones("Au", 3) == ("zh:ao3",)
    assert mandarin_phones("y@", NEUTRAL_TONE) == ("zh:yn5",)
    assert mandarin_phones("_:", 1) == (PAUSE,)
    assert mandarin_phones("_|", 1) == mandarin_phones(";", 1) == ()
    assert mandarin_phones("Q%", 1) is None
    tones = [tone_of_digits(digits) for digits in ("55", "35", "214", "51", "11", "")]
    assert tones == [1, 2, 3, 4, 5, 5]


def _installed(make: type[FliteSynthesizer] | type[EspeakSynthesizer]) -> object:
    try:
        return make()
    except SynthesizerUnavailableError as error:
        pytest.skip(str(error))


def _check_utterance(spoken: Utterance) -> None:
    assert spoken.sample_rate == SAMPLE_RATE_HZ
    assert spoken.waveform.dtype == np.int16
    assert {phone.name for phone in spoken.phones} <= set(PHONES)
    assert spoken.phones[0].name == spoken.phones[-1].name == PAUSE
    for before, after in zip(spoken.phones, spoken.phones[1:], strict=False):
        assert before.end_s == after.start_s <= after.end_s
    assert spoken.phones[-1].end_s == pytest.approx(len(spoken.waveform) / SAMPLE_RATE_HZ)
    # The labels lie on the sound: vowels are loud, the pauses at the ends are not.
    loudness = {name: _loudness(spoken, name) for name in ("ow", PAUSE)}
    assert loudness["ow"] > 20 * loudness[PAUSE]


def _loudness(spoken: Utterance, name: str) -> float:
    phone = next(phone for phone in spoken.phones if phone.name == name)
    start, end = (round(at_s * SAMPLE_RATE_HZ) for at_s in (phone.start_s, phone.end_s))
    return float(np.abs(spoken.waveform[start:end].astype(np.float64)).mean())


def test_flite_speaks_slower_when_stretched() -> None:
    flite = _installed(FliteSynthesizer)
    plain, slow = (
        flite("hello there, open the window."),
        flite("hello there, open the window.", 1.5),
    )
    _check_utterance(plain)
    assert len(slow.waveform) > 1.3 * len(plain.waveform)
    assert [phone.name for phone in plain.phones] == [phone.name for phone in slow.phones]
    with pytest.raises(ValueError, match="nobody"):
        FliteSynthesizer("nobody")


def test_espeak_speaks_slower_and_higher_when_told() -> None:
    espeak = _installed(EspeakSynthesizer)
    plain = espeak("hello there, open the window.", rate_wpm=170)
    slow = espeak("hello there, open the window.", rate_wpm=120)
    _check_utterance(plain)
    assert len(slow.waveform) > 1.15 * len(plain.waveform)
    high = espeak("hello there, open the window.", rate_wpm=170, pitch=80)
    assert not np.array_equal(high.waveform, plain.waveform)
    assert not espeak.unmapped
    with pytest.raises(SynthesizerUnavailableError, match="no voice"):
        espeak("hello.", voice="xx-nobody")


def test_mandarin_syllables_carry_their_tones() -> None:
    espeak = _installed(EspeakSynthesizer)
    assert espeak.syllables("妈麻马骂吗") == [("zh:m", f"zh:a{tone}") for tone in range(1, 6)]
    for tone, character in enumerate("妈麻马骂吗", 1):
        spoken = espeak(f"{character}。", MANDARIN_VOICE)
        assert [p.name for p in spoken.phones] == [PAUSE, "zh:m", f"zh:a{tone}", PAUSE]
    clauses = espeak.syllables("你好，天！")
    assert [phones[0] for phones in clauses] == ["zh:n", "zh:h", "zh:t"]


@pytest.mark.parametrize("voice", [corpus.MANDARIN, corpus.ESPEAK_MANDARIN])
def test_mandarin_speech_has_the_phones_of_its_syllables(voice: str) -> None:
    espeak, rng = _installed(EspeakSynthesizer), random.Random(1)
    for _ in range(5):
        text = domain_zh.SENTENCES.draw_for_training(rng)
        names = [phone.name for phone in corpus.speak(voice, text, rng).phones]
        spoken = [name for name in names if name != PAUSE]
        assert spoken == [name for phones in espeak.syllables(text) for name in phones], text
        assert set(spoken) <= set(MANDARIN_PHONES)
    assert not corpus._espeak().unmapped


def test_a_monotone_moves_its_pitch_less() -> None:
    espeak = _installed(EspeakSynthesizer)
    flat, lively = (espeak("is it really you?", pitch_range=r).waveform for r in (0, 99))
    assert len(flat) != len(lively) or not np.array_equal(flat, lively)


def test_the_lexicon_pronounces_words_without_speaking() -> None:
    flite = _installed(FliteSynthesizer)
    assert flite.pronounced("window") == ("w", "ih", "n", "d", "ow")
    assert set(flite.pronounced("blorfing")) <= set(ENGLISH_PHONES)


def test_a_training_shard_is_the_same_each_time(tmp_path: Path) -> None:
    _installed(FliteSynthesizer)
    job = corpus._ShardJob(tmp_path / "a" / "000", "slt", 0.001, "1/slt/0")
    other = corpus._ShardJob(tmp_path / "b" / "000", "slt", 0.001, "1/slt/0")
    for made in (job, other):
        corpus._make_shard(made)
    first, second = (job.folder / "audio.npy", other.folder / "audio.npy")
    assert first.read_bytes() == second.read_bytes()
