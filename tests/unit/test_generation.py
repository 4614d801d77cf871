"""Where an answer ends: by itself, at its budget, or because it only repeats itself."""

import json
from itertools import chain, product, repeat

import pytest
import torch

from kimi_demo.checkpoint.locate import EMBEDDED_FOLDER as NANO
from kimi_demo.errors import PromptError
from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.model.generation import (
    SPEECH_POSITIONS,
    TEXT_POSITIONS,
    GenerationRules,
    Turn,
    step_budget,
)
from kimi_demo.model.looping import (
    LOOP_PERIOD_TOKENS,
    LOOP_REPEATS,
    LOOP_TOKENS,
    LoopDetector,
)
from kimi_demo.model.sampling import draw
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary

IDS = Vocabulary.published(300)
OURS, REFERENCE = GenerationRules(), GenerationRules.reference()
GREEDY = Sampling(StreamSampling(), StreamSampling())


def written(text_ids, output="text", sampling=GREEDY, most=400, rules=OURS):
    """The turn after these ids were the likeliest, one a step; it speaks code 1 meanwhile."""
    turn = Turn(IDS, output, sampling, most, 6, rules=rules)
    steps = []
    for token in text_ids:
        if turn.finish_reason:
            break
        steps.append(turn.accept(token, IDS.audio_id(1)))
    return turn, [step.fed_text for step in steps]


def fires_after(ids):
    """How many ids it takes, or None."""
    detector = LoopDetector()
    return next((n for n, token in enumerate(ids, 1) if detector.push(token)), None)


@pytest.mark.parametrize("period", [1, 2, 5, 16, LOOP_PERIOD_TOKENS])
def test_the_same_run_again_and_again_is_a_loop(period):
    beginning = [900, 901, 902]
    run = list(range(period))
    expected = len(beginning) + max(LOOP_TOKENS, LOOP_REPEATS * period)
    assert fires_after(chain(beginning, *repeat(run, 60))) == expected


@pytest.mark.parametrize("period", [1, 7, LOOP_PERIOD_TOKENS])
def test_a_run_that_comes_less_often_is_none(period):
    run = list(range(period))
    times = max(LOOP_TOKENS, LOOP_REPEATS * period) // period - 1
    assert fires_after([*run * times, 900, *run * times]) is None


VALID = [
    ", ".join(map(str, range(200))),
    " ".join(["ha"] * 12) + ". ha ha ha.",
    "哈" * 15,
    "no, no, no, no, it is not so. " + "yes! " * 6,
    "call 1 000 000 000 000 000 000 times.",
    "we will, we will rock you. " * (LOOP_REPEATS - 1) + "and once more.",
    "thank you. " * 4,
]


@pytest.mark.parametrize("text", VALID)
def test_counting_laughter_and_refrains_are_no_loops(text):
    tokenizer = TextTokenizer.load(NANO)  # a small one, so that words are several ids
    assert fires_after(tokenizer.encode(text)) is None


def test_none_of_the_questions_and_answers_of_the_repository_is_a_loop():
    tokenizer = TextTokenizer.load(NANO)
    card = (NANO / "CARD.md").read_text(encoding="utf-8")
    prose = "\n".join(line for line in card.splitlines() if not line.startswith("|"))
    names = json.loads((NANO / "tasks.json").read_text(encoding="utf-8"))["choices"]
    texts = [prose, *(", ".join(choice["options"]) for choice in names.values())]
    assert [fires_after(tokenizer.encode(text)) for text in texts] == [None] * len(texts)


def test_a_written_answer_that_loops_is_ended_and_says_so():
    turn, fed = written(chain([7, 8], *repeat([1, 2, 3], 100)))
    assert turn.finish_reason == "loop"
    assert len(fed) == 2 + LOOP_TOKENS


def test_the_reference_goes_on_until_its_budget():
    endless = chain(*repeat([1, 2, 3], 100))
    turn, fed = written(endless, most=150, rules=REFERENCE)
    assert (turn.finish_reason, len(fed)) == ("length", 150)


def test_while_it_speaks_the_same_text_id_may_stand_for_many_steps():
    turn, fed = written(repeat(5), output="both", most=200)
    assert (turn.finish_reason, len(fed)) == ("length", 200)


def test_an_answer_that_ends_in_time_stops():
    turn, fed = written([1, 2, 3, IDS.text_eos, 4])
    assert (turn.finish_reason, fed) == ("stop", [1, 2, 3, IDS.text_eos])


def test_the_end_mark_wins_over_a_loop_and_a_loop_over_the_budget():
    run = [1] * (LOOP_TOKENS - 1)
    assert written([*run, IDS.text_eos])[0].finish_reason == "stop"
    assert written([*run, 1], most=LOOP_TOKENS)[0].finish_reason == "loop"


def test_the_penalty_of_the_second_try_leads_out_of_a_loop():
    """Two ids almost equally likely: greedy takes the first for ever, the penalty both."""
    logits = torch.zeros(1, IDS.token_offset + 10)
    logits[0, 1:4] = torch.tensor([5.0, 4.9, 4.8])
    penalised = Sampling(StreamSampling(repetition_penalty=1.1, repetition_window_tokens=16))
    ends = {}
    for name, sampling in (("greedy", GREEDY), ("penalised", penalised)):
        turn = Turn(IDS, "text", sampling, LOOP_TOKENS + 20, 6)
        ids = []
        while not turn.finish_reason:
            (drawn,) = draw(logits, [turn.draws()[0]])
            ids.append(turn.accept(drawn, None).fed_text)
        ends[name] = (turn.finish_reason, set(ids))
    assert ends["greedy"] == ("loop", {1})
    assert ends["penalised"][1] > {1}


@pytest.mark.parametrize("output", ["text", "both"])
@pytest.mark.parametrize("capacity", [None, 1, 2048, 8192])
def test_a_budget_is_never_negative_and_always_fits(output, capacity):
    most = SPEECH_POSITIONS if output == "both" else TEXT_POSITIONS
    most = min(most, capacity or most)
    prompts, requests = (0, 1, 1499, 1500, 7499, 7500, 10**6), (None, -5, 0, 1, 10**9)
    for prompt, requested, rules in product(prompts, requests, (OURS, REFERENCE)):
        if prompt >= most and not rules.allow_no_budget:
            with pytest.raises(PromptError, match=f"of {most} positions"):
                step_budget(prompt, output, requested, rules, capacity)
            continue
        budget = step_budget(prompt, output, requested, rules, capacity)
        assert 0 <= budget <= max(0, most - prompt)
        if requested is not None and not rules.speech_ignores_request:
            assert budget <= max(0, requested)


def test_without_a_budget_an_answer_is_over_before_it_begins():
    assert Turn(IDS, "both", GREEDY, 0, 6).finish_reason == "length"
