"""What is special on a Hugging Face Space, all of it; anywhere else this does nothing.

On ZeroGPU there is a GPU only while a decorated function runs, in a process that is forked for that
call. Hence its rules, all of them kept here:

    `spaces` is imported before torch               app.py imports this module first
    the model is put on CUDA before the page opens  it is held back there and given to the fork
    only values that pickle cross over              an intent goes in, events come out
    each call says how long it may take             `seconds_for`, from the intent alone
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from kimi_demo.engine import tasks
from kimi_demo.engine.base import Engine
from kimi_demo.events import Event
from kimi_demo.intents import Ask, Chat, Choose, Intent, Speak, heard_s
from kimi_demo.messages import TextPart
from kimi_demo.options import ModelOptions
from kimi_demo.settings import on_zero_gpu

ZERO_GPU = on_zero_gpu()
if ZERO_GPU:
    import spaces  # noqa: F401  # before torch; used below

LENT_MEMORY = "0=44GiB"  # what "large", the smallest that is lent, has at least
SETUP_S = 10  # the fork, the weights' way to the GPU, the first kernels
LISTENING_SHARE = 0.1  # GPU seconds to hear a second of sound
SPEAKING_SHARE = 0.8  # GPU seconds to speak a second; the page stalls above 1
WRITING_S = 15
SPEECH_S = (10, 110)  # an answer's shortest and longest
CHARACTERS_PER_SPEECH_S = 4  # of the slower language, Mandarin


def adapted(options: ModelOptions) -> ModelOptions:
    """What a Space computes on: the GPU that ZeroGPU promises cannot be asked for its memory."""
    if ZERO_GPU and options.device == "auto":
        memory = options.max_memory or LENT_MEMORY
        return dataclasses.replace(options, device="cuda", max_memory=memory)
    return options


def on_lent_gpu(engine: Engine) -> Engine:
    """The same engine; on ZeroGPU each intent is served while a GPU is lent."""
    return LentGpuEngine(engine) if ZERO_GPU else engine


def why_no_api() -> str:
    """Why programs cannot call /v1 here; empty where they can."""
    if not ZERO_GPU:
        return ""
    return (
        "this Space borrows a GPU for its page's own requests only: call the page's endpoints with "
        "gradio_client, or duplicate the Space with a GPU of its own"
    )


def seconds_for(intent: Intent) -> int:
    """GPU seconds that one intent may take: a longer wish costs the visitor more of a quota, a
    shorter one breaks the answer off."""
    shortest, longest = SPEECH_S
    speech_s = min(longest, max(shortest, _typed(intent) / CHARACTERS_PER_SPEECH_S))
    speaks = isinstance(intent, Speak) or (isinstance(intent, Chat) and intent.output == "both")
    answer_s = SPEAKING_SHARE * speech_s if speaks else WRITING_S
    return round(SETUP_S + LISTENING_SHARE * heard_s(intent) + answer_s)


def _typed(intent: Intent) -> int:
    match intent:
        case Speak(text):
            return len(text)
        case Chat() | Ask() | Choose():
            return sum(len(p.text) for p in intent.asked.parts if isinstance(p, TextPart))
    return 0


class LentGpuEngine(Engine):
    """An engine whose answers are made in forked processes. The line is here, before the fork, for
    no thread outlives that: an intent goes in, events come out."""

    def __init__(self, engine: Engine) -> None:
        import spaces

        super().__init__(engine.capabilities)

        def answer(intent: Intent) -> Generator[Event, None, None]:
            yield from engine.answer(intent)

        self._engine = engine
        self._answer = spaces.GPU(duration=seconds_for)(answer)

    def answer(self, intent: Intent) -> Generator[Event, None, None]:
        tasks.check(intent, self.capabilities)
        return self._lent(intent)

    def close(self) -> None:
        """Cancels all jobs and frees the model; the forks end with their jobs."""
        super().close()
        self._engine.close()

    def _lent(self, intent: Intent) -> Generator[Event, None, None]:
        yield from self._answer(intent)
