"""What is special on a Hugging Face Space, all of it; anywhere else this does nothing.

On ZeroGPU there is a GPU only while a decorated function runs, in a process that is forked for that
call. Hence its rules, all of them kept here:

    `spaces` is imported before torch               app.py imports this module first
    the model is put on CUDA before the page opens  it is held back there and given to the fork
    only values that pickle cross over              a request goes in, events come out
    each call says how long it may take             `seconds_for`, from the request alone
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from kimi_demo.engine.base import Capabilities, Engine
from kimi_demo.events import Event
from kimi_demo.messages import AudioPart, Request, TextPart
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
    """The same engine; on ZeroGPU each request computes while a GPU is lent."""
    return LentGpuEngine(engine) if ZERO_GPU else engine


def why_no_api() -> str:
    """Why programs cannot call /v1 here; empty where they can."""
    if not ZERO_GPU:
        return ""
    return (
        "this Space borrows a GPU for its page's own requests only: call the page's endpoints with "
        "gradio_client, or duplicate the Space with a GPU of its own"
    )


def seconds_for(request: Request) -> int:
    """GPU seconds that one request may take: a longer wish costs the visitor more of a quota, a
    shorter one breaks the answer off."""
    parts = [part for message in request.messages for part in message.parts]
    heard_s = sum(part.audio.duration_s for part in parts if isinstance(part, AudioPart))
    typed = sum(len(part.text) for part in parts if isinstance(part, TextPart))
    shortest, longest = SPEECH_S
    speech_s = min(longest, max(shortest, typed / CHARACTERS_PER_SPEECH_S))
    answer_s = WRITING_S if request.output == "text" else SPEAKING_SHARE * speech_s
    return round(SETUP_S + LISTENING_SHARE * heard_s + answer_s)


class LentGpuEngine:
    """An engine whose requests run in forked processes."""

    def __init__(self, engine: Engine) -> None:
        import spaces

        def answer(request: Request) -> Generator[Event, None, None]:
            yield from engine.stream(request)

        self._engine = engine
        self._answer = spaces.GPU(duration=seconds_for)(answer)

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def stream(self, request: Request) -> Generator[Event, None, None]:
        """Yields the answer's events; see `Engine.stream`."""
        yield from self._answer(request)

    def close(self) -> None:
        """Frees the model; the forks end with their requests."""
        self._engine.close()
