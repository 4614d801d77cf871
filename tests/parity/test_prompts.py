"""Prompt streams of every message list, against both public versions of the reference."""

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.errors import PromptError
from kimi_demo.messages import AudioPart, Message, SpokenPart, TextPart
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptRules
from kimi_demo.model.vocabulary import Vocabulary
from tests.parity.byte_tokenizer import ByteTokenizer

RULES = {
    "newest": PromptRules.newest_reference(),
    "released": PromptRules.released_reference(),
}


@pytest.fixture(scope="module")
def golden(read_json):
    return read_json("prompts/prompts.json")


@pytest.fixture(scope="module")
def vocabulary(golden):
    return Vocabulary.from_names(
        golden["special_tokens"], golden["kimia_token_offset"], golden["pad_id"]
    )


def message_of(entry, codes):
    content = entry["content"]
    match entry["message_type"]:
        case "text":
            part = TextPart(content)
        case "audio":
            part = AudioPart(NamedSound(content))
        case "audio-text":
            part = SpokenPart(tuple(codes[content[0]]), content[1])
        case other:
            part = other
    return Message(entry["role"], (part,))


class NamedSound(Audio):
    """A sound whose codes are looked up by file name."""

    def __init__(self, name):
        super().__init__(np.zeros(1, np.float32), 16_000)
        object.__setattr__(self, "name", name)


@pytest.mark.parametrize("version", RULES)
def test_every_message_list(golden, vocabulary, version):
    codes = golden["speech_tokens_without_offset"]

    def listen(sound):
        return Heard(codes[sound.name], torch.zeros(len(codes[sound.name]), 1))

    builder = PromptBuilder(
        vocabulary, ByteTokenizer(), listen, golden["audiodelay_tokens"], RULES[version]
    )
    assert golden["cases"]
    for name, case in golden["cases"].items():
        expected = case[version]
        if expected == "same as newest":
            expected = case["newest"]
        messages = [message_of(entry, codes) for entry in case["messages"]]
        if "error" in expected:
            with pytest.raises(PromptError):
                builder.build(messages, case["output_type"])
            continue
        streams = builder.build(messages, case["output_type"])
        assert streams.audio_ids == expected["audio_ids"], name
        assert streams.text_ids == expected["text_ids"], name
        assert [int(h) for h in streams.heard] == expected["is_continuous_mask"], name
        rows = [len(features) for features in streams.features]
        assert rows == expected["continuous_feature_rows"], name


def test_text_that_outlasts_its_sound_is_padded_by_default(golden, vocabulary):
    builder = PromptBuilder(vocabulary, ByteTokenizer(), lambda _: None, 6)
    spoken = Message("assistant", (SpokenPart((1, 2), "longer than eight tokens"),))
    streams = builder.build([spoken], "both")
    assert len(streams.text_ids) == len(streams.audio_ids) == len(streams.heard)
    assert streams.audio_ids.count(vocabulary.audio_id(1)) == 1
