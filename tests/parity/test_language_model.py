"""Logits, caches, sampler and generation loops against the reference."""

import dataclasses

import pytest
import torch

from kimi_demo.errors import PromptError
from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.generation import GenerationRules, Turn, generate, step_budget
from kimi_demo.model.language_model import Feed, LanguageModel
from kimi_demo.model.prompt import PromptRules, PromptStreams
from kimi_demo.model.sampling import Draw, candidates, draw, penalized
from kimi_demo.model.vocabulary import Vocabulary

LOGIT_TOLERANCE = {"atol": 2e-4, "rtol": 0}
RULES = PromptRules.newest_reference()


@pytest.fixture(scope="module")
def model(parity_dir, read_tensors):
    config = LanguageModelConfig.from_json(parity_dir / "llm/config.json")
    built = LanguageModel(config.with_reference_behaviour())
    stored = read_tensors("llm/model.safetensors")
    built.load_state_dict({k: v for k, v in stored.items() if "rotary_emb" not in k})
    return built.eval()


@pytest.fixture(scope="module")
def vocabulary(parity_dir):
    return Vocabulary.from_file(parity_dir / "llm/special_tokens.json")


@pytest.fixture(scope="module")
def cases(read_json, read_tensors):
    names = read_json("llm/cases.json")
    assert names
    return {name: read_tensors(f"llm/case_{name}.safetensors") for name in names}


def prompt_of(tensors):
    features = sorted(k for k in tensors if k.startswith("whisper_feature_"))
    return PromptStreams(
        tensors["text_ids"][0].tolist(),
        tensors["audio_ids"][0].tolist(),
        tensors["is_continuous_mask"][0].bool().tolist(),
        [tensors[name][0] for name in features],
        RULES,
    )


def test_prefill_and_decode_logits(model, cases, read_json):
    expected_lengths = read_json("llm/cases.json")
    for name, case in cases.items():
        prompt = prompt_of(case)
        length = len(prompt)
        assert length == expected_lengths[name]["prompt_len"]
        assert prompt.segment_lengths() == expected_lengths[name]["segment_lengths"]
        assert case["position_ids"][0].tolist() == list(range(length))
        cache = model.new_cache(slots=1, positions=length + 8)
        logits = model.prefill(prompt, cache, slot=0, all_positions=True)
        torch.testing.assert_close(logits.text[0], case["prefill_text_logits"], **LOGIT_TOLERANCE)
        torch.testing.assert_close(logits.audio[0], case["prefill_audio_logits"], **LOGIT_TOLERANCE)
        torch.testing.assert_close(
            cache.keys[0][0, :, :length], case["prefill_k0"], **LOGIT_TOLERANCE
        )
        torch.testing.assert_close(
            cache.values[0][0, :, :length], case["prefill_v0"], **LOGIT_TOLERANCE
        )
        check_decode(model, cache, case, length)


def check_decode(model, cache, case, length):
    text_ids, audio_ids = case["decode_text_ids"], case["decode_audio_ids"]
    for step in range(len(text_ids)):
        feed = Feed(0, length + step, int(text_ids[step]), int(audio_ids[step]))
        logits = model.decode([feed], cache)
        for stream in ("text", "audio"):
            torch.testing.assert_close(
                getattr(logits, stream)[0], case[f"decode_{stream}_logits"][step], **LOGIT_TOLERANCE
            )


def test_training_pass_equals_prefill(model, cases):
    for case in cases.values():
        prompt = prompt_of(case)
        features = prompt.matched_features() if prompt.features else torch.zeros(0)
        with torch.inference_mode():
            text, audio = model(
                case["text_ids"], case["audio_ids"], case["is_continuous_mask"].bool(), features
            )
            text_logits, audio_logits = model.lm_head(text)[0], model.mimo_output(audio)[0]
        torch.testing.assert_close(text_logits, case["prefill_text_logits"], **LOGIT_TOLERANCE)
        torch.testing.assert_close(audio_logits, case["prefill_audio_logits"], **LOGIT_TOLERANCE)


def test_rows_of_a_batch_are_independent(model, cases):
    """All cases side by side, each in a slot of its own, give what each gives alone."""
    names = list(cases)
    longest = max(len(prompt_of(case)) for case in cases.values())
    cache = model.new_cache(slots=len(names), positions=longest + 8)
    for slot, name in enumerate(names):
        model.prefill(prompt_of(cases[name]), cache, slot)
    for step in range(len(cases[names[0]]["decode_text_ids"])):
        feeds = [
            Feed(
                slot,
                len(prompt_of(cases[name])) + step,
                int(cases[name]["decode_text_ids"][step]),
                int(cases[name]["decode_audio_ids"][step]),
            )
            for slot, name in enumerate(names)
        ]
        logits = model.decode(feeds, cache)
        for row, name in enumerate(names):
            for stream in ("text", "audio"):
                torch.testing.assert_close(
                    getattr(logits, stream)[row],
                    cases[name][f"decode_{stream}_logits"][step],
                    **LOGIT_TOLERANCE,
                )


def test_too_few_features_are_refused(cases):
    case = cases[next(name for name in cases if prompt_of(cases[name]).features)]
    prompt = prompt_of(case)
    prompt.features[0] = prompt.features[0][:2]
    with pytest.raises(PromptError):
        prompt.matched_features()
    single = [features[:1] for features in prompt.features]
    broadcast = dataclasses.replace(prompt, features=single)
    assert len(broadcast.matched_features()) == sum(prompt.segment_lengths())
    with pytest.raises(PromptError):
        dataclasses.replace(broadcast, rules=PromptRules()).matched_features()


def sampling_of(options):
    def stream(name):
        return StreamSampling(
            temperature=options[f"{name}_temperature"],
            top_k=options[f"{name}_top_k"],
            repetition_penalty=options[f"{name}_repetition_penalty"],
            repetition_window_tokens=options[f"{name}_repetition_window_size"],
        )

    return Sampling(text=stream("text"), audio=stream("audio"))


def test_generation_loops(model, vocabulary, read_json, read_tensors):
    golden = read_json("generation/generation.json")
    features = read_tensors("generation/features.safetensors")
    assert golden
    for name, case in golden.items():
        prompt = PromptStreams(
            case["prompt"]["text_ids"],
            case["prompt"]["audio_ids"],
            [bool(h) for h in case["prompt"]["is_continuous_mask"]],
            [
                features[f"{name}.whisper_feature_{i}"][0]
                for i in range(case["prompt"]["num_features"])
            ],
            RULES,
        )
        turn = Turn(
            vocabulary,
            case["output_type"],
            sampling_of(case["sampling"]),
            case["max_new_tokens"],
            model.config.audio_delay_tokens,
            rules=GenerationRules.reference(),
        )
        cache = model.new_cache(1, len(prompt) + case["max_new_tokens"] + 1)
        steps = list(generate(model, prompt, turn, cache))
        check_loop(name, steps, turn, len(prompt), case["result"], vocabulary)


def check_loop(name, steps, turn, prompt_length, expected, vocabulary):
    assert len(steps) == expected["steps"], name
    assert [s.drawn_text for s in steps] == expected["raw_text_argmax"], name
    assert [s.drawn_audio for s in steps] == expected["raw_audio_argmax"], name
    assert [s.fed_text for s in steps[:-1]] == expected["fed_text_ids"], name
    assert [s.fed_audio for s in steps[:-1]] == expected["fed_audio_ids"], name
    text = [s.fed_text for s in steps if s.is_text]
    audio = [s.fed_audio for s in steps if s.is_speech]
    assert text == expected["returned_text_tokens"], name
    assert audio == expected["returned_audio_tokens"], name
    offset = vocabulary.token_offset
    assert [a - offset for a in audio if a >= offset] == expected["filtered_audio_codes"], name
    assert [t for t in text if t < offset] == expected["filtered_text_ids"], name
    assert prompt_length + len(steps) - 2 == expected["last_position_id"], name
    assert (turn.finish_reason == "length") == ("max" in expected["stopped_by"]), name


def test_sampler_distributions(read_json, read_tensors):
    settings = read_json("generation/sampler.json")
    tensors = read_tensors("generation/sampler.safetensors")
    assert settings
    for name, setting in settings.items():
        sampling = StreamSampling(
            setting["temperature"],
            setting["top_k"],
            setting["repetition_penalty"],
            setting["repetition_window_size"],
        )
        logits = tensors[f"{name}.logits"][:, -1]
        recent = tensors[f"{name}.recent"].tolist() if f"{name}.recent" in tensors else []
        assert len(recent) == setting["num_recent"]
        drawn = [Draw(sampling, recent, seed=0, step=0)]
        scores = penalized(logits, drawn)
        torch.testing.assert_close(
            scores[0], tensors[f"{name}.penalized_last_logits"], atol=1e-6, rtol=1e-6
        )
        distribution = distribution_of(scores, drawn)
        torch.testing.assert_close(
            distribution, tensors[f"{name}.distribution"], atol=1e-6, rtol=1e-5
        )
        assert int((distribution > 0).sum()) == setting["support"]
        if setting["greedy"]:
            assert draw(logits, drawn) == [setting["greedy_token"]]


def distribution_of(scores, draws):
    """(V,) probabilities of the first row."""
    kept, ids = candidates(scores, draws)
    return torch.zeros(scores.shape[1]).scatter(0, ids[0], kept[0].softmax(-1))


def test_drawn_ids_follow_the_distribution():
    logits = torch.tensor([[2.0, 1.0, 0.0, -8.0]])
    draws = [Draw(StreamSampling(1.0, 3), [], seed=3, step=step) for step in range(4000)]
    drawn = torch.tensor(draw(logits.expand(4000, -1), draws))
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, distribution_of(logits, draws[:1]), atol=0.03, rtol=0)


def test_budgets():
    reference = GenerationRules.reference()
    assert step_budget(100, "both", 5, reference) == 1400
    assert step_budget(100, "both", 5) == 5
    assert step_budget(1600, "both", None, reference) == 0
    with pytest.raises(PromptError):
        step_budget(1600, "both", None)
    assert step_budget(500, "text", None) == 7000
    assert step_budget(500, "text", None, capacity=600) == 100
