"""The whole chain through the engine: messages in, text and waveform out, as the reference."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from kimi_demo.audio import Audio
from kimi_demo.checkpoint.loading import (
    Checkpoint,
    Description,
    load_acoustic_encoder,
    load_language_model,
    load_speech_tokenizer,
)
from kimi_demo.engine.local import Behaviour, LocalEngine
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.events import collect
from kimi_demo.messages import AudioPart, Message, Sampling, SpokenPart, StreamSampling, TextPart
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.config import StreamingConfig
from kimi_demo.model.detokenizer.loading import load_flow, load_vocoder
from kimi_demo.model.detokenizer.streaming import StreamingDetokenizer
from kimi_demo.model.generation import GenerationRules
from kimi_demo.model.prompt import PromptBuilder, PromptRules
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import TaskTable
from tests.parity.byte_tokenizer import ByteTokenizer
from tests.parity.test_streaming import NoiseBank

GREEDY = Sampling(StreamSampling(), StreamSampling())


@pytest.fixture(scope="module")
def checkpoint(parity_dir):
    config = LanguageModelConfig.from_json(parity_dir / "llm/config.json")
    config, cpu = config.with_reference_behaviour(), torch.device("cpu")
    folder = parity_dir / "audio_detokenizer"
    streaming = StreamingConfig.from_yaml(folder / "config.yaml").with_reference_behaviour()
    return Checkpoint(
        about=Description(),
        tasks=TaskTable(),
        text_tokenizer=ByteTokenizer(),
        vocabulary=Vocabulary.from_file(parity_dir / "llm/special_tokens.json"),
        speech_tokenizer=load_speech_tokenizer(parity_dir / "semantic_tokenizer", cpu),
        acoustic_encoder=load_acoustic_encoder(parity_dir / "whisper-large-v3", cpu, torch.float32),
        language_model=load_language_model(parity_dir / "llm", config, cpu, torch.float32),
        detokenizer=StreamingDetokenizer(
            load_flow(folder), load_vocoder(parity_dir / "vocoder"), streaming
        ),
    )


@pytest.fixture(scope="module")
def engine(checkpoint, parity_dir):
    bank = load_file(parity_dir / "audio_detokenizer/noise_bank.safetensors")["noise_bank"]
    behaviour = Behaviour(
        PromptRules.newest_reference(), GenerationRules.reference(), lambda _: NoiseBank(bank)
    )
    return LocalEngine(checkpoint, behaviour)


@pytest.fixture
def messages_of(read_waveform, checkpoint):
    def part_of(entry):
        content = entry["content"]
        match entry["message_type"]:
            case "text":
                return TextPart(content)
            case "audio":
                return AudioPart(Audio(read_waveform(content), 16_000))
            case "audio-text":
                codes = checkpoint.speech_tokenizer.encode(read_waveform(content[0]))
                return SpokenPart(tuple(codes), content[1])

    return lambda entries: tuple(Message(e["role"], (part_of(e),)) for e in entries)


def test_every_case(engine, checkpoint, messages_of, read_json, read_tensors):
    cases = read_json("end_to_end/end_to_end.json")
    golden = read_tensors("end_to_end/end_to_end.safetensors")
    cases = {name: case for name, case in cases.items() if "messages" in case}
    assert cases
    for name, case in cases.items():
        request = TurnRequest(
            messages_of(case["messages"]),
            case["output_type"],
            GREEDY,
            max_new_tokens=case["options"].get("max_new_tokens"),
        )
        check_prompt(name, checkpoint, request, case, golden)
        answer = collect(engine.run_turn(request))
        assert answer.text == case["text"], name
        assert list(answer.finished.audio_codes) == case["audio_codes"], name
        assert answer.finished.text_tokens == len(case["raw_text_tokens"]), name
        assert (answer.finished.reason == "stop") == case["stopped_early"], name
        if case["wav_samples"] is None:
            assert not len(answer.waveform)
            continue
        assert len(answer.waveform) == case["wav_samples"]
        waveform = torch.from_numpy(answer.waveform[:: case["wav_stride_stored"]])
        torch.testing.assert_close(waveform, golden[f"{name}.wav"], atol=5e-5, rtol=0)


def check_prompt(name, checkpoint, request, case, golden):
    heard = []

    def listen(audio):
        heard.append(LocalEngine(checkpoint)._listen(audio))
        return heard[-1]

    delay = checkpoint.language_model.config.audio_delay_tokens
    rules = PromptRules.newest_reference()
    builder = PromptBuilder(checkpoint.vocabulary, checkpoint.text_tokenizer, listen, delay, rules)
    streams = builder.build(request.messages, request.output)
    assert streams.audio_ids == case["prompt"]["audio_ids"], name
    assert streams.text_ids == case["prompt"]["text_ids"], name
    expected = [k for k in golden if k.startswith(f"{name}.whisper_feature_")]
    assert len(heard) == len(expected)
    for i, sound in enumerate(heard):
        torch.testing.assert_close(
            sound.features, golden[f"{name}.whisper_feature_{i}"], atol=1e-4, rtol=0
        )


def test_closing_a_stream_frees_the_slot(engine, messages_of, read_json):
    case = read_json("end_to_end/end_to_end.json")["audio_chat_both"]
    request = TurnRequest(messages_of(case["messages"]), "both", GREEDY)
    for _ in range(2):
        stream = engine.run_turn(request)
        next(stream)
        next(stream)
        stream.close()
    short = dataclasses.replace(request, max_new_tokens=3)
    answer = collect(engine.run_turn(short))
    assert answer.finished.reason in ("stop", "length")
