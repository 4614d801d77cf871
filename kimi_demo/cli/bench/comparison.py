"""How far quantised weights move the scores of the next ids, step by step along one answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kimi_demo.audio import Audio
from kimi_demo.checkpoint.loading import Checkpoint
from kimi_demo.engine.turn import TurnRequest
from kimi_demo.model.generation import Step, Turn, generate
from kimi_demo.model.language_model import Feed, LanguageModel, Logits
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptStreams


@dataclass(frozen=True)
class Path:
    """A prompt and an answer to it, for any model to follow."""

    prompt: PromptStreams
    answer: tuple[Step, ...]


@dataclass(frozen=True)
class Scores:
    """Along a path, on the CPU. text, audio: (N, ids of that stream), float32; greedy_*: (N,)."""

    text: Tensor
    audio: Tensor
    greedy_text: Tensor
    greedy_audio: Tensor


def answered(checkpoint: Checkpoint, request: TurnRequest, steps: int) -> Path:
    """The answer as the engine would give it, of `steps` ids unless it ends earlier.

    request: words alone.
    """
    model, vocabulary = checkpoint.language_model, checkpoint.vocabulary
    delay = model.config.audio_delay_tokens
    builder = PromptBuilder(vocabulary, checkpoint.text_tokenizer, _hear_nothing, delay)
    prompt = builder.build(request.messages, request.output)
    turn = Turn(vocabulary, request.output, request.sampling, steps, delay, request.seed)
    cache = model.new_cache(1, len(prompt) + steps)
    return Path(prompt, tuple(generate(model, prompt, turn, cache)))


def follow(model: LanguageModel, path: Path) -> Scores:
    """The model's scores before each step of the path, whatever it would have drawn itself."""
    start = len(path.prompt)
    cache = model.new_cache(1, start + len(path.answer))
    found = [_scores(model.prefill(path.prompt, cache, 0), model)]
    for n, step in enumerate(path.answer[:-1]):
        logits = model.decode([Feed(0, start + n, step.fed_text, step.fed_audio)], cache)
        found.append(_scores(logits, model))
    return Scores(*(torch.cat(rows) for rows in zip(*found, strict=True)))


def difference(quantized: Scores, exact: Scores) -> dict[str, object]:
    """Errors are told in standard deviations of the exact scores."""
    return {
        "steps": len(exact.text),
        "text": _of_stream(quantized.text, exact.text, quantized.greedy_text == exact.greedy_text),
        "audio": _of_stream(
            quantized.audio, exact.audio, quantized.greedy_audio == exact.greedy_audio
        ),
    }


def _of_stream(quantized: Tensor, exact: Tensor, agrees: Tensor) -> dict[str, float]:
    error, deviation = (quantized - exact).abs(), exact.std()
    return {
        "mean_error": (error.mean() / deviation).item(),
        "max_error": (error.max() / deviation).item(),
        "same_greedy_share": agrees.float().mean().item(),
    }


def _scores(logits: Logits, model: LanguageModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the text head only text ids are compared, of the audio head only codes: the rest of the
    shared vocabulary is never meant."""
    assert logits.text is not None
    assert logits.audio is not None
    offset = model.config.audio_token_offset
    text, audio = logits.text.float().cpu(), logits.audio.float().cpu()
    text = text[:, : offset - model.text_rows.start]
    audio = audio[:, offset - model.audio_rows.start :]
    return text, audio, text.argmax(-1), audio.argmax(-1)


def _hear_nothing(audio: Audio) -> Heard:
    raise AssertionError("a request of words alone has no sound in it")
