"""Trains the language model for every task, on the codes of the frozen tokenizer.

Axes: B examples, T positions, V vocabulary.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import jiwer
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kimi_demo.messages import OutputType, Sampling, StreamSampling
from kimi_demo.model.generation import Step, Turn, generate
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.text_tokenizer import TextTokenizer
from training import sizes
from training.cache import Cache
from training.checkpoint import task_table
from training.examples import IGNORED, Asked, ExampleBatch, ExampleWriter, Speech, collate
from training.lessons import TASK_WEIGHTS, LabelledSounds, Lessons, Recordings
from training.loop import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_matching,
    options_from,
)
from training.speech_tokenizer import kind_of, split
from training.text_tokenizer import text_ids_of
from training.texts.dialogue import draw, is_right
from training.texts.spoken import as_spoken, spoken_words
from training.timing import read_timed

WORD_WEIGHT = 3.0  # of words against pieces: these are many and soon known
NAMING_WEIGHT = 0.4  # of the pieces named at heard positions
RECENT = 0.1  # weight of the newest batch in the averages that are logged
GREEDY = Sampling(StreamSampling(), StreamSampling())
_NOTHING = Speech((), (), recorded=False)


class LanguageModelTraining(nn.Module):
    """The model with small initial weights; heads score only where an answer is due."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        super().__init__()
        ids = text_ids_of(tokenizer)
        self.model = LanguageModel(sizes.language_model_config(tokenizer.special_ids, ids))
        for name, parameter in self.model.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        exclude_from_muon([self.model.lm_head, self.model.mimo_output])
        weights = torch.full((self.model.lm_head.out_features,), WORD_WEIGHT)
        pieces = [i for name, i in tokenizer.special_ids.items() if name.startswith("<|p:")]
        weights[pieces] = 1.0
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, batch: ExampleBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy of the text answers, of the pieces named while hearing, of the audio."""
        text, audio = self.model(batch.text_ids, batch.audio_ids, batch.heard, batch.features)
        named = torch.where(batch.heard, batch.text_targets, IGNORED)
        answers = torch.where(batch.heard, IGNORED, batch.text_targets)
        return (
            _cross_entropy(self.model.lm_head, text, answers, self.weights),
            _cross_entropy(self.model.lm_head, text, named),
            _cross_entropy(self.model.mimo_output, audio, batch.audio_targets),
        )


def _cross_entropy(
    head: nn.Linear, states: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean over the targets that are due; weights: (V,) of each id."""
    due = targets != IGNORED
    if not due.any():
        return states.new_zeros(())
    return F.cross_entropy(head(states[due]).float(), targets[due], weights)


class Evaluation:
    """Held-out recordings and wordings: losses, transcripts, answers."""

    def __init__(
        self, writer: ExampleWriter, recordings: Recordings, prompts: dict[str, str], count: int
    ) -> None:
        self._writer, self._recordings, self._prompts, self._count = (
            writer,
            recordings,
            prompts,
            count,
        )

    @torch.no_grad()
    def __call__(self, module: LanguageModelTraining) -> dict[str, float]:
        report: dict[str, float] = {}
        for language in sizes.OUTPUT_VOICES:
            report |= self._reading(module, language)
            report |= self._hearing(module.model, language)
            report |= self._answering(module.model, language)
        return report

    def _reading(self, module: LanguageModelTraining, language: str) -> dict[str, float]:
        entries = self._recordings.own[language][: self._count]
        examples = [
            self._writer.reading(
                as_spoken(self._recordings.text(e), language), self._recordings.speech(e)
            )
            for e in entries
        ]
        text, _, audio = module(collate(examples, self._writer.vocabulary, "cpu"))
        return {f"{language}_pieces": float(text), f"{language}_audio": float(audio)}

    def _hearing(self, model: LanguageModel, language: str) -> dict[str, float]:
        """Error rates of clean voices that are not the checkpoint's own."""
        rng = random.Random(0)
        entries = [
            e
            for e in self._recordings.entries
            if e.utterance.language == language and kind_of(e) == "hear"
        ][: self._count]
        said, heard = [], []
        for entry in entries:
            sound, text = self._recordings.sound(entry, 0, rng)
            prompt = self._writer.about(sound, self._prompts[""], "").prompt
            steps = self._steps(model, prompt, "text", 120)
            written = self._writer.tokenizer.decode(s.fed_text for s in steps if s.is_text)
            said.append(" ".join(spoken_words(text, language)))
            heard.append(" ".join(spoken_words(written, language)) or "-")
        if not said:
            return {}
        return {
            f"{language}_asr_wer": jiwer.wer(said, heard),
            f"{language}_asr_cer": jiwer.cer(said, heard),
        }

    def _answering(self, model: LanguageModel, language: str) -> dict[str, float]:
        """Share of right answers to typed questions in held-out wordings."""
        rng, right = random.Random(3), []
        for _ in range(self._count):
            exchange = draw(rng, language, held_out=True).exchanges[0]
            prompt = self._writer.chat([], Asked(exchange.question), "", "", _NOTHING).prompt
            written = []
            for step in self._steps(model, prompt, "both", 90):
                if step.is_speech and step.fed_audio >= self._writer.text_ids:
                    break  # the text is complete once speech begins
                written.append(step.fed_text)
            _, end = self._writer.echo_ids
            answer = written[written.index(end) + 1 :] if end in written else []
            right.append(is_right(exchange, self._writer.tokenizer.decode(answer)))
        return {f"{language}_chat": sum(right) / len(right)}

    def _steps(
        self, model: LanguageModel, prompt: PromptStreams, output: OutputType, limit: int
    ) -> Iterator[Step]:
        turn = Turn(self._writer.vocabulary, output, GREEDY, limit, sizes.AUDIO_DELAY)
        return generate(model, prompt, turn, model.new_cache(1, len(prompt) + limit + 1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, nargs="+", required=True, help="with passes heard")
    parser.add_argument("--timed", type=Path, nargs="+", required=True, help=".jsonl of `timing`")
    parser.add_argument("--sounds", type=Path, help="labelled sounds that were heard")
    parser.add_argument("--text-tokenizer", type=Path, required=True)
    for name, weight in TASK_WEIGHTS.items():
        parser.add_argument(f"--{name}-weight", type=float, default=weight)
    parser.add_argument("--start-from", type=Path, help="run of the same vocabulary")
    parser.add_argument("--learning-rate-share", type=float, default=1.0)
    parser.add_argument("--evaluate-count", type=int, default=24)
    parser.add_argument("--compile", action="store_true", help="fuse operations; needs a compiler")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the language model within the budget."""
    tokenizer, tasks = TextTokenizer.load(args.text_tokenizer), task_table()
    torch.manual_seed(args.seed)
    share = args.learning_rate_share
    options = options_from(
        args,
        learning_rate=2e-3 * share,
        muon_learning_rate=0.02 * share,
        betas=(0.9, 0.95),
        ema_decay=0.98,
        ema_every=2,
        evaluate_every_s=600.0,
    )
    module = LanguageModelTraining(tokenizer)
    if args.start_from:
        load_matching(module, args.start_from)
    trainer = Trainer(module, options, args.out)
    if args.compile:
        trunk = module.model.model
        trunk.forward = torch.compile(trunk.forward, dynamic=True)
    writer = ExampleWriter(tokenizer, tasks)
    cache = Cache(args.cache[0])
    learned, held = split(cache)
    prompts = {
        **tasks.transcription_prompts,
        "caption": tasks.caption_prompts[""],
        **{name: choice.question for name, choice in tasks.choices.items()},
    }
    prompts["event"] = prompts["sound"]
    sounds = LabelledSounds(args.sounds, prompts) if args.sounds else None
    weights = {name: getattr(args, f"{name}_weight") for name in TASK_WEIGHTS}
    if sounds is None:
        weights["sounds"] = 0
    seed = args.seed + trainer.step + 7919 * trainer.rank
    timed = [u for path in args.timed for u in read_timed(path)]
    recordings = Recordings(cache, writer, learned)
    lessons = Lessons(writer, recordings, timed, sounds, prompts, weights, seed)
    recent: Losses = {}

    def losses() -> Losses:
        task, batch = next(lessons)
        text, named, audio = module(batch)
        parts = {"text": text, "audio": audio, "named": named}
        for name, value in (
            (f"{task}_{k}", v.detach()) for k, v in parts.items() if v.requires_grad
        ):
            recent[name] = torch.lerp(recent.get(name, value), value, RECENT)
        return {"loss": audio + text + NAMING_WEIGHT * named, **recent}

    judged = Evaluation(writer, Recordings(cache, writer, held), prompts, args.evaluate_count)
    # On a CPU the backward pass of fused attention is slower than plain matrix products.
    fused = [] if args.device == "cpu" else [SDPBackend.FLASH_ATTENTION]
    with sdpa_kernel([*fused, SDPBackend.MATH]):
        trainer.fit(losses, judged)
