"""Trains the language model to read aloud and to transcribe, on the codes of the frozen tokenizer.

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

from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.model.generation import Turn, generate
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.nano import shapes
from kimi_demo.nano.features import Entry, FeatureCache
from kimi_demo.nano.judge import CodeReader
from kimi_demo.nano.letters import letter_ids, read_letters
from kimi_demo.nano.training import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    options_from,
)
from kimi_demo.nano.turns import IGNORED, ExampleWriter, TurnBatch, collate
from kimi_demo.tasks import TaskTable

TEXT_WEIGHT = 1.0
CODE_NOISE = 0.05  # share of fed codes that are replaced: the model must forgive its own slips
GREEDY = Sampling(StreamSampling(), StreamSampling())


class LanguageModelTraining(nn.Module):
    """The model with small initial weights; heads score only where an answer is due."""

    def __init__(self) -> None:
        super().__init__()
        self.model = LanguageModel(shapes.language_model_config())
        for name, parameter in self.model.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        exclude_from_muon([self.model.lm_head, self.model.mimo_output])

    def forward(self, batch: TurnBatch) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the text stream and of the audio stream."""
        text, audio = self.model(batch.text_ids, batch.audio_ids, batch.heard, batch.features)
        return (
            _cross_entropy(self.model.lm_head, text, batch.text_targets),
            _cross_entropy(self.model.mimo_output, audio, batch.audio_targets),
        )


def _cross_entropy(head: nn.Linear, states: Tensor, targets: Tensor) -> Tensor:
    due = targets != IGNORED
    if not due.any():
        return states.new_zeros(())
    return F.cross_entropy(head(states[due]).float(), targets[due])


def with_noise(batch: TurnBatch, generator: torch.Generator) -> TurnBatch:
    """Replaces a few fed codes by random ones; what was heard stays."""
    is_code = (batch.audio_ids >= shapes.TEXT_VOCABULARY) & ~batch.heard
    chosen = is_code & (torch.rand(is_code.shape, generator=generator) < CODE_NOISE).to(
        is_code.device
    )
    low, high = shapes.TEXT_VOCABULARY, shapes.TEXT_VOCABULARY + shapes.NUM_CODES
    noise = torch.randint(low, high, is_code.shape, generator=generator).to(is_code.device)
    batch.audio_ids[chosen] = noise[chosen]
    return batch


class Curriculum:
    """Endless batches: reading aloud in the output voice, transcription of every voice."""

    def __init__(self, writer: ExampleWriter, args: argparse.Namespace, seed: int) -> None:
        self._writer = writer
        self._rng = random.Random(seed)
        self._listening = args.listening
        self._naming = args.naming
        self._device = args.device
        self._generator = torch.Generator().manual_seed(seed)
        reading = FeatureCache(args.features, [shapes.OUTPUT_VOICE])
        self._reading = reading.batches(args.batch, self._rng)
        self._heard = FeatureCache(args.features).batches(args.batch, self._rng)

    def __next__(self) -> TurnBatch:
        if self._rng.random() < self._listening:
            named = self._rng.random() < self._naming
            examples = [self._writer.transcription(e, named) for e in next(self._heard)]
            return collate(examples, self._writer.vocabulary, self._device)
        examples = [self._writer.reading(e) for e in next(self._reading)]
        batch = collate(examples, self._writer.vocabulary, self._device)
        return with_noise(batch, self._generator)

    def __iter__(self) -> Iterator[TurnBatch]:
        return self


class Evaluation:
    """Held-out speech read back from the codes, and held-out sounds transcribed."""

    def __init__(
        self, args: argparse.Namespace, tokenizer: TextTokenizer, tasks: TaskTable
    ) -> None:
        self._cache = FeatureCache(args.heldout)
        self._writer = ExampleWriter(self._cache, tokenizer, tasks)
        self._tokenizer = tokenizer
        self._reader = CodeReader.load(args.tokenizer, args.device)
        self._device = args.device
        self._count = args.evaluate_count
        self._listens = args.listening > 0

    def __call__(self, module: LanguageModelTraining) -> dict[str, float]:
        report = self._speech(module)
        if self._listens:
            for voice in sorted({entry.voice for entry in self._cache.entries}):
                report[f"{voice}_asr_wer"] = self._hearing(module, self._of(voice))
        return report

    def _of(self, voice: str) -> list[Entry]:
        entries = [entry for entry in self._cache.entries if entry.voice == voice]
        return entries[:: max(1, len(entries) // self._count)][: self._count]

    def _speech(self, module: LanguageModelTraining) -> dict[str, float]:
        entries = self._of(f"heldout-{shapes.OUTPUT_VOICE}")
        batch = collate(
            [self._writer.reading(e) for e in entries], self._writer.vocabulary, self._device
        )
        text_loss, audio_loss = module(batch)
        said, heard, lengths = [], [], 0
        for entry in entries:
            codes = self._speak(module.model, entry)
            lengths += len(codes)
            said.append(read_letters(letter_ids(entry.text), collapse=False))
            heard.append(self._reader(codes) or " ")
        true_length = sum(entry.length for entry in entries)
        return {
            "text_loss": float(text_loss),
            "audio_loss": float(audio_loss),
            "speech_cer": jiwer.cer(said, heard),
            "speech_wer": jiwer.wer(said, heard),
            "length_ratio": lengths / true_length,
        }

    def _speak(self, model: LanguageModel, entry: Entry) -> list[int]:
        prompt = self._writer.reading(entry).prompt
        limit = 2 * entry.length + 20
        turn = Turn(self._writer.vocabulary, "both", GREEDY, limit, model.config.audio_delay_tokens)
        cache = model.new_cache(1, len(prompt) + limit + 1)
        steps = generate(model, prompt, turn, cache)
        offset = shapes.TEXT_VOCABULARY
        return [s.fed_audio - offset for s in steps if s.is_speech and s.fed_audio >= offset]

    def _hearing(self, module: LanguageModelTraining, entries: list[Entry]) -> float:
        said, heard = [], []
        for entry in entries:
            prompt = self._writer.transcription(entry).prompt
            turn = Turn(self._writer.vocabulary, "text", GREEDY, 80, shapes.AUDIO_DELAY)
            cache = module.model.new_cache(1, len(prompt) + 81)
            steps = generate(module.model, prompt, turn, cache)
            text = self._tokenizer.decode(step.fed_text for step in steps if step.is_text)
            heard.append(read_letters(letter_ids(text), collapse=False) or " ")
            said.append(read_letters(letter_ids(entry.text), collapse=False))
        return jiwer.wer(said, heard)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, required=True, help="cache with codes")
    parser.add_argument("--heldout", type=Path, required=True, help="cache with codes")
    parser.add_argument("--text-tokenizer", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="run of the speech tokenizer")
    parser.add_argument("--listening", type=float, default=0.3, help="share of ASR batches")
    parser.add_argument("--naming", type=float, default=0.2, help="of these, naming what is heard")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--evaluate-count", type=int, default=24)
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the language model within the budget."""
    tokenizer, tasks = TextTokenizer.load(args.text_tokenizer), shapes.task_table()
    torch.manual_seed(args.seed)
    options = options_from(
        args, learning_rate=2e-3, betas=(0.9, 0.95), ema_decay=0.98, evaluate_every_s=900.0
    )
    module = LanguageModelTraining()
    trainer = Trainer(module, options, args.out)
    writer = ExampleWriter(FeatureCache(args.features), tokenizer, tasks)
    batches = Curriculum(writer, args, args.seed + trainer.step)

    def losses() -> Losses:
        text, audio = module(next(batches))
        loss = audio + TEXT_WEIGHT * text
        return {"loss": loss, "text": text.detach(), "audio": audio.detach()}

    trainer.fit(losses, Evaluation(args, tokenizer, tasks))
