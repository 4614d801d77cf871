"""The one training loop of the embedded checkpoint: optimisers, schedule, averaging, resume.

Each part (speech tokenizer, acoustic encoder, vocoder, language model, flow matching) brings a
module and a function that returns its losses; everything else is shared and lives here.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, distributed, nn

from training.muon import Muon

logger = logging.getLogger(__name__)


class Stateful(Protocol):
    """Something whose state belongs to a run."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


Losses = dict[str, Tensor]
LossFunction = Callable[[], Losses]
Evaluation = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how fast to learn.

    The budget is either a number of steps or minutes of *compute*: processor time on a CPU, where
    other work on the machine must not shorten the schedule, and wall time on a GPU.
    """

    minutes: float | None = None
    steps: int | None = None
    learning_rate: float = 1e-3  # AdamW: embeddings, heads, norms, biases
    muon_learning_rate: float = 0.02  # Muon: hidden matrices; 0 leaves all to AdamW
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    warmup_steps: int = 100
    final_learning_rate_share: float = 0.05
    gradient_clip: float = 1.0
    ema_decay: float = 0.99
    ema_every: int = 1
    save_every_s: float = 120.0
    evaluate_every_s: float = 600.0
    log_every_steps: int = 50
    seed: int = 1
    device: str = "cpu"
    bfloat16: bool | None = None  # autocast; None: where the device computes in it natively
    resume: bool = False

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give a budget: either --minutes or --steps")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every training command shares."""
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="budget in minutes of compute")
    budget.add_argument("--steps", type=int, help="budget in optimiser steps")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")


def options_from(args: argparse.Namespace, **overrides: object) -> TrainingOptions:
    """TrainingOptions out of parsed arguments; `overrides` are the part's own settings."""
    torch.set_num_threads(args.threads)
    shared = {k: getattr(args, k) for k in ("minutes", "steps", "seed", "device", "resume")}
    return TrainingOptions(**{**shared, **overrides})  # type: ignore[arg-type]


def fast_bfloat16(device: str) -> bool:
    """Whether matrices multiply natively in bfloat16 there; emulation is forty times slower."""
    if torch.device(device).type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return True


class Stopwatch:
    """Seconds of compute, pausable: processor time on a CPU, wall time elsewhere."""

    def __init__(self, device: str, already_s: float = 0.0) -> None:
        self._clock = time.process_time if device == "cpu" else time.perf_counter
        self._start = self._clock() - already_s

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._start

    def forget(self, seconds: float) -> None:
        """Does not count `seconds` (spent on evaluation, say)."""
        self._start += seconds


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights that Muon may turn: the 2-D weights of linear layers marked by no head or embedding.

    A linear layer opts out with an attribute `adamw = True` (heads, input projections).
    """
    return [
        layer.weight
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
        and not getattr(layer, "adamw", False)
        and layer.weight.requires_grad
    ]


class Trainer:
    """Minimises `losses()["loss"]` within the budget and keeps averaged weights in `ema`.

    Under torchrun every process brings its own batches; gradients are averaged, the first process
    evaluates and saves.
    """

    def __init__(
        self,
        module: nn.Module,
        options: TrainingOptions,
        run_dir: Path,
        companions: Mapping[str, Stateful] | None = None,
    ) -> None:
        """companions: what else must be saved to go on, an adversary say, by name."""
        torch.manual_seed(options.seed)
        self._companions = companions or {}
        self.module = module.to(options.device)
        self.ema = copy.deepcopy(module).eval()
        self.options = options
        self.run_dir = Path(run_dir)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        native = fast_bfloat16(options.device)
        self._bfloat16 = native if options.bfloat16 is None else options.bfloat16
        self.optimizers = self._build_optimizers()
        self.step = 0
        self.rank, self._peers = _joined_group()
        self._common_progress = 0.0
        self._watch = Stopwatch(options.device)
        self._saved_at = self._evaluated_at = time.monotonic()
        if options.resume and self.checkpoint_path.exists():
            self._load()

    @property
    def checkpoint_path(self) -> Path:
        return self.run_dir / "checkpoint.pt"

    @property
    def progress(self) -> float:
        """Share of the budget used, 0 to 1; the same in every process."""
        if self._peers == 1 or self.options.steps is not None:  # every process counts alike
            return self._own_progress()
        return self._common_progress

    def _own_progress(self) -> float:
        if self.options.steps is not None:
            return min(1.0, self.step / self.options.steps)
        return min(1.0, self._watch.elapsed_s / (60.0 * (self.options.minutes or 1e-9)))

    def fit(self, losses: LossFunction, evaluate: Evaluation | None = None) -> nn.Module:
        """Trains until the budget is used; returns the averaged module, in eval mode."""
        self._asked_to_stop = False
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            self._learn(losses, evaluate)
        finally:
            signal.signal(signal.SIGTERM, before)
        return self.ema

    def _learn(self, losses: LossFunction, evaluate: Evaluation | None) -> None:
        self.module.train()
        while self.progress < 1.0 and not self._asked_to_stop:
            values = self._take_step(losses)
            self._log_step(values)
            self._save_when_due()
            self._evaluate_when_due(evaluate)
        if not self._asked_to_stop:
            self._evaluate(evaluate)
        self.save()

    def _stop(self, *_: object) -> None:
        """Ends after the step in work, which is saved; `--resume` goes on from there."""
        self._asked_to_stop = True

    def _build_optimizers(self) -> list[torch.optim.Optimizer]:
        options = self.options
        matrices = hidden_matrices(self.module) if options.muon_learning_rate else []
        taken = {id(p) for p in matrices}
        rest = [p for p in self.module.parameters() if p.requires_grad and id(p) not in taken]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                rest, options.learning_rate, betas=options.betas, weight_decay=options.weight_decay
            )
        ]
        if matrices:
            optimizers.append(
                Muon(matrices, options.muon_learning_rate, weight_decay=options.weight_decay)
            )
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["peak_lr"] = group["lr"]
        return optimizers

    def _learning_rate_share(self) -> float:
        floor = self.options.final_learning_rate_share
        warmup = min(1.0, (self.step + 1) / max(1, self.options.warmup_steps))
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.progress))
        return warmup * (floor + (1.0 - floor) * cosine)

    def _take_step(self, losses: LossFunction) -> Losses:
        device_type = torch.device(self.options.device).type
        with torch.autocast(device_type, torch.bfloat16, enabled=self._bfloat16):
            values = losses()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        values["loss"].backward()
        if self._peers > 1:
            self._share_gradients()
        share = self._learning_rate_share()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.options.gradient_clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * share
            optimizer.step()
        self.step += 1
        if self.step % self.options.ema_every == 0:
            self._average()
        return values

    @torch.no_grad()
    def _share_gradients(self) -> None:
        """Averages gradients, and what the schedule goes by, over the processes."""
        learned = [p for p in self.module.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
        progress = gradients[0].new_tensor([self._own_progress()])
        flat = torch.cat([*(g.flatten() for g in gradients), progress])
        distributed.all_reduce(flat)
        flat /= self._peers
        self._common_progress = float(flat[-1])
        parts = flat[:-1].split([p.numel() for p in learned])
        for parameter, part in zip(learned, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.options.ema_decay, self.step / (self.step + 10.0))
        averaged, current = list(self.ema.parameters()), list(self.module.parameters())
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
        for kept, live in zip(self.ema.buffers(), self.module.buffers(), strict=True):
            kept.copy_(live)

    def _log_step(self, values: Losses) -> None:
        if self.step % self.options.log_every_steps == 0:
            self.log({name: float(value.detach()) for name, value in values.items()})

    def log(self, values: dict[str, float]) -> None:
        """Appends one JSON object to train.jsonl."""
        if self.rank:
            return
        entry = {"step": self.step, "compute_s": round(self._watch.elapsed_s, 1), **values}
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in entry.items()}
        with (self.run_dir / "train.jsonl").open("a") as log:
            log.write(json.dumps(rounded) + "\n")
        logger.info("%s", rounded)

    def _evaluate_when_due(self, evaluate: Evaluation | None) -> None:
        if time.monotonic() - self._evaluated_at > self.options.evaluate_every_s:
            self._evaluate(evaluate)

    @torch.no_grad()
    def _evaluate(self, evaluate: Evaluation | None) -> None:
        if evaluate is None or self.rank:
            return
        before = self._watch.elapsed_s
        self.log({f"eval_{name}": value for name, value in evaluate(self.ema).items()})
        self._watch.forget(self._watch.elapsed_s - before)
        self._evaluated_at = time.monotonic()
        self.module.train()

    def _save_when_due(self) -> None:
        if time.monotonic() - self._saved_at > self.options.save_every_s:
            self.save()

    def save(self) -> None:
        """Writes everything needed to go on, atomically: a kill never leaves a broken file."""
        if self.rank:
            return
        state = {
            "module": self.module.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "compute_s": self._watch.elapsed_s,
            "random": torch.get_rng_state(),
            "companions": {name: c.state_dict() for name, c in self._companions.items()},
        }
        partial = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint_path)
        self._saved_at = time.monotonic()

    def _load(self) -> None:
        device = self.options.device
        state = torch.load(self.checkpoint_path, map_location=device, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        self._watch = Stopwatch(self.options.device, state["compute_s"])
        torch.set_rng_state(state["random"].cpu())
        for name, companion in self._companions.items():
            companion.load_state_dict(state["companions"][name])
        logger.info("resumed at step %d, %.0f s of compute", self.step, state["compute_s"])


def _joined_group() -> tuple[int, int]:
    """This process's place and the number of processes, as torchrun set them."""
    peers = int(os.environ.get("WORLD_SIZE", "1"))
    if peers > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=timedelta(hours=1))
    return (distributed.get_rank(), peers) if peers > 1 else (0, 1)


def load_averaged(module: nn.Module, run_dir: Path, prefix: str = "") -> nn.Module:
    """Fills `module` with the averaged weights of a run; `prefix` picks a submodule of the run's
    module.
    """
    path = Path(run_dir) / "checkpoint.pt"
    averaged = torch.load(path, map_location="cpu", weights_only=True)["ema"]
    chosen = {k[len(prefix) :]: v for k, v in averaged.items() if k.startswith(prefix)}
    module.load_state_dict(chosen)
    return module


def load_matching(module: nn.Module, run_dir: Path, without: tuple[str, ...] = ()) -> None:
    """Copies the averaged weights of a run into a module that may have grown since.

    Where only the first axis differs (more phones, more codes) the common rows are copied; names
    that begin with one of `without` stay as they are.
    """
    path = Path(run_dir) / "checkpoint.pt"
    averaged = torch.load(path, map_location="cpu", weights_only=True)["ema"]
    own = module.state_dict()
    for name, value in averaged.items():
        if name in own and not name.startswith(without) and own[name].dim() == value.dim():
            rows = min(len(value), len(own[name])) if value.dim() else None
            if own[name].shape[1:] == value.shape[1:]:
                own[name][:rows].copy_(value[:rows]) if value.dim() else own[name].copy_(value)


def exclude_from_muon(layers: Iterable[nn.Module]) -> None:
    """Marks heads and input projections: AdamW learns them."""
    for layer in layers:
        layer.adamw = True  # type: ignore[assignment]
