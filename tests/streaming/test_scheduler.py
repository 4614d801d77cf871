"""Many turns in one step loop: company changes nothing, whoever leaves is gone, a fault is nobody
else's.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

from kimi_demo.audio import Audio
from kimi_demo.checkpoint import loading, locate
from kimi_demo.checkpoint.placement import Placement
from kimi_demo.engine.local import LocalEngine
from kimi_demo.engine.scheduler import Scheduler
from kimi_demo.errors import EngineError
from kimi_demo.events import AudioDelta, Finished, collect
from kimi_demo.intents import Caption, Speak
from kimi_demo.messages import Message, Sampling, StreamSampling, TextPart
from kimi_demo.model.generation import Turn
from kimi_demo.model.prompt import Heard, PromptBuilder
from kimi_demo.model.weighing import Weighing

STEPS = 12
PENALISED = Sampling(
    StreamSampling(0.7, 5, repetition_penalty=1.1, repetition_window_tokens=4),
    StreamSampling(0.9, 0),
)
SAMPLINGS = (Sampling(StreamSampling(), StreamSampling()), Sampling(), PENALISED)
TEXTS = ("The cat sleeps.", "What is the capital of France?", "Blue birds sing.", "猫睡着了。")
OPTIONS = ("happy", "sad and quite tired", "angry")


@pytest.fixture(scope="module")
def checkpoint():
    return loading.load(locate.find("nano"), Placement.on("cpu"))


class Job:
    """One turn; remembers its steps, does something at one of them."""

    def __init__(self, checkpoint, number):
        self.checkpoint, self.number = checkpoint, number
        self.steps, self.failure = [], None
        self.done = threading.Event()
        self.at_step = {}
        ids, encode = checkpoint.vocabulary, checkpoint.text_tokenizer
        delay = checkpoint.language_model.config.audio_delay_tokens
        builder = PromptBuilder(ids, encode, self.hear, delay)
        text = TEXTS[number % len(TEXTS)] * (1 + number % 5 * 3)
        output = "text" if number % 3 == 1 else "both"
        self.prompt = builder.build([Message("user", (TextPart(text),))], output)
        if number % 3 == 2:
            answers = [encode.encode(option) for option in OPTIONS]
            self.turn = Weighing(answers, ids.text_blank, len(self.prompt), 2048)
        else:
            sampling = SAMPLINGS[number % len(SAMPLINGS)]
            self.turn = Turn(ids, output, sampling, STEPS + number, delay, seed=number)

    @staticmethod
    def hear(sound):
        return Heard([], torch.zeros(0))

    def step(self, step):
        self.steps.append(step)
        for action in self.at_step.get(len(self.steps), ()):
            action()

    def end(self, failure):
        self.failure = failure
        self.done.set()

    @property
    def result(self):
        if isinstance(self.turn, Weighing):
            return self.turn.probabilities
        return [step for step in self.steps if step]


@pytest.fixture(scope="module")
def alone(checkpoint):
    """What each of sixteen jobs comes to by itself."""
    found = []
    for number in range(16):
        scheduler, job = Scheduler(checkpoint.language_model, 1, torch.nan), Job(checkpoint, number)
        scheduler.submit(job.prompt, job.turn, job)
        assert job.done.wait(60)
        scheduler.close()
        assert job.failure is None
        found.append(job.result)
    return found


def run(checkpoint, slots, numbers, joins, leaves=()):
    """Job n begins at step joins[n] of the first one (0: at once); some leave half way."""
    scheduler = Scheduler(checkpoint.language_model, slots, torch.nan)
    jobs = [Job(checkpoint, number) for number in numbers]

    def join(job):
        row = scheduler.submit(job.prompt, job.turn, job)
        if job.number in leaves:
            job.at_step[1 + job.number % 7] = [partial(scheduler.cancel, row), job.done.set]

    for job, at in zip(jobs[1:], joins[1:], strict=True):
        jobs[0].at_step.setdefault(at, []).append(partial(join, job))
    for begin in [partial(join, jobs[0]), *jobs[0].at_step.pop(0, [])]:
        begin()
    for job in jobs:
        assert job.done.wait(120)
    scheduler.close()
    scheduler.check_integrity()
    return jobs


def assert_same(job, alone):
    """Ids exactly. A prompt may begin in the slot of another that began alike, and is then read in
    other pieces, whose sums round differently: so probabilities nearly.
    """
    assert job.failure is None
    if isinstance(job.turn, Weighing):
        assert job.result == pytest.approx(alone[job.number], rel=1e-4, abs=1e-9)
    else:
        assert job.result == alone[job.number]


@pytest.mark.parametrize("slots", [1, 4, 16])
def test_company_changes_nothing(checkpoint, alone, slots):
    for job in run(checkpoint, slots, range(16), [0] * 16):
        assert_same(job, alone)


def test_joining_and_leaving_at_every_step_changes_nothing(checkpoint, alone):
    joins = [min(n, 11) for n in range(16)]
    leaves = {3, 4, 7, 9, 12}
    for job in run(checkpoint, 4, range(16), joins, leaves):
        if job.number in leaves:
            assert not isinstance(job.turn, Turn) or job.turn.finish_reason is None
        else:
            assert_same(job, alone)


def test_order_and_times_do_not_matter_either(checkpoint, alone):
    rng = random.Random(5)
    for _ in range(3):
        numbers = rng.sample(range(16), 9)
        for job in run(checkpoint, 5, numbers, [0] + [rng.randrange(12) for _ in range(8)]):
            assert_same(job, alone)


def test_who_goes_on_with_a_prompt_reads_only_what_is_new(checkpoint, alone, monkeypatch):
    read = []
    model = checkpoint.language_model
    real = model.prefill

    def prefill(prompt, cache, slot, span, **options):
        read.append(span)
        return real(prompt, cache, slot, span, **options)

    monkeypatch.setattr(model, "prefill", prefill)
    scheduler = Scheduler(model, 2, torch.nan)
    for number in (0, 3, 0):
        job = Job(checkpoint, number)
        scheduler.submit(job.prompt, job.turn, job)
        assert job.done.wait(60)
        assert job.result == alone[number]
    scheduler.close()
    assert len(read[0]) == len(Job(checkpoint, 0).prompt)
    assert [len(span) for span in read[2:]] == [1]


def test_a_failing_step_ends_those_that_took_part_and_nobody_later(checkpoint, alone, monkeypatch):
    model = checkpoint.language_model
    scheduler = Scheduler(model, 2)
    with monkeypatch.context() as patched:
        patched.setattr(model, "decode", lambda *_: 1 / 0)
        job = Job(checkpoint, 0)
        scheduler.submit(job.prompt, job.turn, job)
        assert job.done.wait(60)
        assert isinstance(job.failure, ZeroDivisionError)
    job = Job(checkpoint, 0)
    scheduler.submit(job.prompt, job.turn, job)
    assert job.done.wait(60)
    assert job.result == alone[0]
    scheduler.close()


def test_closing_tells_everybody(checkpoint):
    scheduler = Scheduler(checkpoint.language_model, 1)
    jobs = [Job(checkpoint, number) for number in (0, 3)]
    for job in jobs:
        scheduler.submit(job.prompt, job.turn, job)
    scheduler.close()
    for job in jobs:
        assert job.done.wait(5)
        assert isinstance(job.failure, EngineError)
    with pytest.raises(EngineError):
        scheduler.submit(jobs[0].prompt, jobs[0].turn, jobs[0])


def test_sound_is_bit_for_bit_the_same_in_company(checkpoint):
    engine = LocalEngine(checkpoint, slots=4)
    wishes = [Speak(text, seed=n) for n, text in enumerate(TEXTS)]
    alone = [collect(engine.stream(wish)) for wish in wishes]
    heard = Audio(alone[0].waveform, alone[0].sample_rate)
    recordings = [Caption(heard)] * 2
    written = collect(engine.stream(recordings[0])).text
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda w: collect(engine.stream(w)), [*wishes, *recordings]))
    for answer, expected in zip(together, [*alone], strict=False):
        np.testing.assert_array_equal(answer.waveform, expected.waveform)
        assert answer.finished.audio_codes == expected.finished.audio_codes
    assert [answer.text for answer in together[4:]] == [written] * 2
    engine.close()


def test_sound_says_which_codes_it_voices(checkpoint):
    engine = LocalEngine(checkpoint)
    events = list(engine.stream(Speak(TEXTS[0])))
    sounds = [event for event in events if isinstance(event, AudioDelta)]
    voiced = [code for sound in sounds for code in sound.codes]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert tuple(voiced) == finished.audio_codes
    samples = sum(len(sound.waveform) for sound in sounds[:-1])
    assert len(voiced) - len(sounds[-1].codes) == samples // 1920
    engine.close()


def test_an_engine_is_closed_though_a_stream_of_the_same_thread_is_open(checkpoint):
    engine = LocalEngine(checkpoint)
    events = engine.stream(Speak(TEXTS[1]))
    next(events)
    next(events)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        list(events)
