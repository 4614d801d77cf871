"""Weighing options equals one whole forward pass for each of them."""

import pytest
import torch

from kimi_demo.errors import PromptError
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.weighing import Weighing

BLANK = 3
PROMPT_IDS = [5, 9, 14, 2, 30, 7]
ANSWERS = [[11], [12, 4, 17], [12, 4], [6, 21, 21, 8]]


def weighed(model, prompt, answers, blank, cache, slot=0):
    """The probabilities, step by step."""
    weighing = Weighing(answers, blank, len(prompt), cache.capacity)
    logits = model.prefill(prompt, cache, slot)
    weighing.accept(logits.text[0])
    while not weighing.finished:
        logits = model.decode([weighing.feed(slot)], cache)
        weighing.accept(logits.text[0])
    return weighing.probabilities


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LanguageModelConfig(
        vocabulary_size=48,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        num_audio_layers=1,
        branch_layer=0,
        audio_token_offset=40,
        adaptor_input_size=8,
        media_begin=1,
        media_end=2,
        pad=0,
        max_positions=32,
    )
    built = LanguageModel(config)
    for parameter in built.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return built.eval()


def prompt_with(further=()):
    ids = [*PROMPT_IDS, *further]
    audio = [33, 34, *[BLANK] * (len(ids) - 2)]
    return PromptStreams(ids, audio, [False] * len(ids))


def whole_pass(model, answers):
    """Each candidate read at once behind the prompt, in a cache of its own."""
    scores = []
    for answer in answers:
        cache = model.new_cache(slots=1)
        logits = model.prefill(prompt_with(answer), cache, 0, all_positions=True).text[0]
        behind = logits[len(PROMPT_IDS) - 1 :].log_softmax(-1)
        scores.append(sum(float(behind[i, token]) for i, token in enumerate(answer)))
    return torch.tensor(scores).softmax(0).tolist()


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("answers", [ANSWERS, ANSWERS[::-1], [[11], [12]], [[4, 4], [4, 5]]])
def test_it_equals_one_whole_pass_for_each_answer(model, answers, slot):
    cache = model.new_cache(slots=2)
    probabilities = weighed(model, prompt_with(), answers, BLANK, cache, slot)
    assert probabilities == pytest.approx(whole_pass(model, answers), abs=1e-5)
    assert sum(probabilities) == pytest.approx(1.0)
    assert max(probabilities) - min(probabilities) > 0.01


def test_what_the_slot_held_before_does_not_matter(model):
    used, new = model.new_cache(slots=1), model.new_cache(slots=1)
    for layer in (*used.keys, *used.values):
        layer.normal_()
    weights = [weighed(model, prompt_with(), ANSWERS, BLANK, cache) for cache in (used, new)]
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)


@pytest.mark.parametrize(("answers", "steps"), [([[11], [12], [13]], 0), (ANSWERS, 2 + 1 + 3)])
def test_only_further_ids_cost_a_step(model, monkeypatch, answers, steps):
    calls = {"prefill": 0, "decode": 0}

    def counted(name):
        real = getattr(model, name)

        def call(*args):
            calls[name] += 1
            return real(*args)

        return call

    for name in calls:
        monkeypatch.setattr(model, name, counted(name))
    weighed(model, prompt_with(), answers, BLANK, model.new_cache(slots=1))
    assert calls == {"prefill": 1, "decode": steps}


@pytest.mark.parametrize("answers", [[], [[11], []]])
def test_nothing_to_choose_from_is_refused(model, answers):
    with pytest.raises(PromptError, match="options"):
        weighed(model, prompt_with(), answers, BLANK, model.new_cache(slots=1))


def test_a_slot_is_filled_to_its_last_position_and_no_further(model):
    fitting = model.new_cache(slots=1, positions=len(PROMPT_IDS) + 2)
    weighed(model, prompt_with(), [[1, 2, 3]], BLANK, fitting)
    with pytest.raises(PromptError, match="9 of 8 positions"):
        weighed(model, prompt_with(), [[1], [1, 2, 3, 4]], BLANK, fitting)
