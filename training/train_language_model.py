"""Trains the language model for every task, on the codes of the frozen tokenizer.

Axes: B examples, T positions, V vocabulary.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jiwer
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kimi_demo.messages import OutputType, Sampling, StreamSampling
from kimi_demo.model.generation import Step, Turn, generate
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.prompt import PromptStreams
from kimi_demo.model.text_tokenizer import TextTokenizer
from training import dialogue, shapes
from training.corpus import HELD_OUT_PREFIX
from training.curriculum import TASK_WEIGHTS, Curriculum
from training.domain_zh import hanzi_of
from training.features import Entry, FeatureCache
from training.judge import CodeReader
from training.letters import letter_ids, read_letters
from training.pronunciation import Pronouncer
from training.training import (
    Losses,
    Trainer,
    add_training_arguments,
    exclude_from_muon,
    load_matching,
    options_from,
)
from training.turns import IGNORED, ExampleWriter, TurnBatch, collate

TEXT_WEIGHT = 1.0
# In dialogues the words of the answer weigh more than the phones around them: these are many and
# soon known, while only a word or two of an answer depend on what was asked.
ANSWER_WEIGHT = 5.0
RECENT = 0.1  # weight of the newest batch in the averages that are logged
GREEDY = Sampling(StreamSampling(), StreamSampling())


class LanguageModelTraining(nn.Module):
    """The model with small initial weights; heads score only where an answer is due."""

    def __init__(self, special_ids: Mapping[str, int]) -> None:
        super().__init__()
        self.model = LanguageModel(shapes.language_model_config(special_ids))
        for name, parameter in self.model.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        exclude_from_muon([self.model.lm_head, self.model.mimo_output])
        hidden = torch.tensor(sorted(special_ids.values()))
        words = torch.ones(self.model.lm_head.out_features, dtype=torch.bool)
        self.register_buffer("words", words.index_fill(0, hidden, False), persistent=False)

    def forward(self, batch: TurnBatch, answer_weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the text stream and of the audio stream.

        answer_weight: of displayed text against hidden tokens.
        """
        text, audio = self.model(batch.text_ids, batch.audio_ids, batch.heard, batch.features)
        weights = torch.where(self.words, answer_weight, 1.0)
        return (
            _cross_entropy(self.model.lm_head, text, batch.text_targets, weights),
            _cross_entropy(self.model.mimo_output, audio, batch.audio_targets),
        )

    def exact(self, batch: TurnBatch) -> list[bool]:
        """Of each row, whether the likeliest text id is the target wherever there is one."""
        text, _ = self.model(batch.text_ids, batch.audio_ids, batch.heard, batch.features)
        due = batch.text_targets != IGNORED
        right = self.model.lm_head(text).argmax(-1) == batch.text_targets
        return (right | ~due).all(-1).tolist()


def _cross_entropy(
    head: nn.Linear, states: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean over the targets that are due; weights: (V,) of each id."""
    due = targets != IGNORED
    if not due.any():
        return states.new_zeros(())
    return F.cross_entropy(head(states[due]).float(), targets[due], weights)


class Evaluation:
    """Held-out material of every task: speech read back from its codes, transcripts, answers."""

    def __init__(
        self,
        args: argparse.Namespace,
        cache: FeatureCache,
        writer: ExampleWriter,
        tokenizer: TextTokenizer,
    ) -> None:
        self._cache, self._writer, self._tokenizer = cache, writer, tokenizer
        self._reader = CodeReader.load(args.tokenizer, args.device) if args.tokenizer else None
        self._device, self._count = args.device, args.evaluate_count
        self._voices = sorted({entry.voice for entry in cache.entries if entry.text})

    def __call__(self, module: LanguageModelTraining) -> dict[str, float]:
        report: dict[str, float] = {}
        for language, voice in shapes.OUTPUT_VOICES.items():
            report |= self._speech(module, language, self._of(f"{HELD_OUT_PREFIX}{voice}"))
        for voice in self._voices:
            report[f"{voice}_asr"] = self._hearing(module.model, self._of(voice))
        for language in shapes.OUTPUT_VOICES:
            report[f"{language}_chat"] = self._answering(module.model, language)
        return report | self._sounds(module)

    def _of(self, voice: str) -> list[Entry]:
        entries = [entry for entry in self._cache.entries if entry.voice == voice]
        return entries[:: max(1, len(entries) // self._count)][: self._count]

    def _speech(
        self, module: LanguageModelTraining, language: str, entries: list[Entry]
    ) -> dict[str, float]:
        if not entries:
            return {}
        examples = [self._writer.reading(e) for e in entries]
        batch = collate(examples, self._writer.vocabulary, self._device)
        text_loss, audio_loss = module(batch)
        report = {f"{language}_text": float(text_loss), f"{language}_audio": float(audio_loss)}
        if language != "en" or not self._reader:  # the judge reads letters
            return report
        spoken = [self._speak(module.model, e) for e in entries]
        said = [read_letters(letter_ids(e.text), collapse=False) for e in entries]
        heard = [self._reader(codes) or " " for codes in spoken]
        ratio = sum(map(len, spoken)) / sum(e.length for e in entries)
        return report | {"en_speech_cer": jiwer.cer(said, heard), "en_length_ratio": ratio}

    def _speak(self, model: LanguageModel, entry: Entry) -> list[int]:
        prompt, offset = self._writer.reading(entry).prompt, shapes.TEXT_VOCABULARY
        steps = self._steps(model, prompt, "both", 2 * entry.length + 20)
        return [s.fed_audio - offset for s in steps if s.is_speech and s.fed_audio >= offset]

    def _hearing(self, model: LanguageModel, entries: list[Entry]) -> float:
        """Word error rate of English, character error rate of Mandarin."""
        said, heard = [], []
        for entry in entries:
            prompt = self._writer.transcription(entry).prompt
            heard.append(plain(self._text(self._steps(model, prompt, "text", 160))) or " ")
            said.append(plain(entry.text))
        rate = jiwer.cer if any(map(hanzi_of, said)) else jiwer.wer
        return rate(said, heard)

    def _answering(self, model: LanguageModel, language: str) -> float:
        """Share of right answers to typed questions in held-out wordings."""
        right = []
        for drawn in dialogue.held_out_dialogues(language, 2 * self._count):
            exchange = drawn.exchanges[0]
            prompt = self._writer.typed(exchange.question)
            written = []
            for step in self._steps(model, prompt, "both", 80):
                if step.is_speech and step.fed_audio >= shapes.TEXT_VOCABULARY:
                    break  # the text is complete once speech begins
                written.append(step)
            right.append(dialogue.is_right(exchange, self._text(written)))
        return sum(right) / len(right)

    def _sounds(self, module: LanguageModelTraining) -> dict[str, float]:
        """Share of answers, by task, of which every id is the likeliest one."""
        found: dict[str, list[bool]] = {}
        for entry in (e for e in self._cache.entries if e.tasks):
            examples = [self._writer.task(entry, task) for task in entry.tasks]
            right = module.exact(collate(examples, self._writer.vocabulary, self._device))
            for task, is_right in zip(entry.tasks, right, strict=True):
                found.setdefault(task[0], []).append(is_right)
        return {f"sound_{name}": sum(right) / len(right) for name, right in found.items()}

    def _steps(
        self, model: LanguageModel, prompt: PromptStreams, output: OutputType, limit: int
    ) -> Iterator[Step]:
        turn = Turn(self._writer.vocabulary, output, GREEDY, limit, shapes.AUDIO_DELAY)
        return generate(model, prompt, turn, model.new_cache(1, len(prompt) + limit + 1))

    def _text(self, steps: Iterable[Step]) -> str:
        return self._tokenizer.decode(step.fed_text for step in steps if step.is_text)


def plain(text: str) -> str:
    """Words or hanzi without punctuation."""
    return hanzi_of(text) or read_letters(letter_ids(text), collapse=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="with codes")
    parser.add_argument("--heldout", type=Path, nargs="+", required=True, help="with codes")
    parser.add_argument("--text-tokenizer", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="speech tokenizer's run: reads speech back")
    parser.add_argument("--naming", type=float, default=0.2, help="transcripts that name all heard")
    for name, weight in TASK_WEIGHTS.items():
        parser.add_argument(f"--{name}", type=float, default=weight, help="weight of the task")
    parser.add_argument("--start-from", type=Path, help="run of the same vocabulary")
    parser.add_argument("--learning-rate-share", type=float, default=1.0)
    parser.add_argument("--evaluate-count", type=int, default=24)
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Trains the language model within the budget."""
    tokenizer, tasks = TextTokenizer.load(args.text_tokenizer), shapes.task_table()
    torch.manual_seed(args.seed)
    share = args.learning_rate_share
    options = options_from(
        args,
        learning_rate=2e-3 * share,
        muon_learning_rate=0.02 * share,
        betas=(0.9, 0.95),
        ema_decay=0.98,
        evaluate_every_s=900.0,
    )
    module = LanguageModelTraining(tokenizer.special_ids)
    if args.start_from:
        load_matching(module, args.start_from)
    trainer = Trainer(module, options, args.out)
    pronouncer, cache = Pronouncer(), FeatureCache(args.features)
    writer = ExampleWriter(cache, tokenizer, tasks, pronouncer)
    weights = {name: getattr(args, name) for name in TASK_WEIGHTS}
    seed = args.seed + trainer.step + 7919 * trainer.rank
    batches = Curriculum(writer, cache, weights, args.naming, seed, args.device)

    recent: Losses = {}

    def losses() -> Losses:
        task, batch = next(batches)
        text, audio = module(batch, ANSWER_WEIGHT if task == "chat" else 1.0)
        for name, value in ((f"{task}_text", text.detach()), (f"{task}_audio", audio.detach())):
            recent[name] = torch.lerp(recent.get(name, value), value, RECENT)
        return {"loss": audio + TEXT_WEIGHT * text, **recent}

    heldout = FeatureCache(args.heldout)
    judged = ExampleWriter(heldout, tokenizer, tasks, pronouncer)
    trainer.fit(losses, Evaluation(args, heldout, judged, tokenizer))
