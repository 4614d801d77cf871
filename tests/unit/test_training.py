"""The training loop: an interrupted run equals an uninterrupted one, budgets, averages, Muon."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from kimi_demo.nano.muon import Muon, orthogonalise
from kimi_demo.nano.training import Trainer, TrainingOptions, hidden_matrices, load_averaged

OPTIONS = TrainingOptions(steps=12, warmup_steps=3, log_every_steps=1, bfloat16=False)


class Interrupted(Exception):
    """Stands for a kill between two steps."""


def tiny_module():
    torch.manual_seed(5)
    module = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 4))
    module.register_buffer("seen", torch.zeros(()))
    return module


def train(run_dir, options=OPTIONS, stop_at=None):
    """Learns to reverse random vectors; data come from torch's own generator, as in real parts."""
    module = tiny_module()
    trainer = Trainer(module, options, run_dir)

    def losses():
        if trainer.step == stop_at:
            trainer.save()
            raise Interrupted
        x = torch.randn(16, 4)
        module.seen += 1
        return {"loss": (module(x) - x.flip(1)).square().mean()}

    trainer.fit(losses)
    return trainer


def parameters(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def logged(run_dir):
    lines = (run_dir / "train.jsonl").read_text().splitlines()
    return [(e["step"], e["loss"]) for e in map(json.loads, lines)]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", stop_at=5)
    torch.manual_seed(999)  # another process has another state
    resumed = train(tmp_path / "parts", dataclasses.replace(OPTIONS, resume=True))
    assert resumed.step == whole.step == 12
    assert torch.equal(parameters(resumed.module), parameters(whole.module))
    assert torch.equal(parameters(resumed.ema), parameters(whole.ema))
    assert resumed.module.seen == whole.module.seen == 12
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path):
    first, again = train(tmp_path / "a"), train(tmp_path / "b")
    assert torch.equal(parameters(first.module), parameters(again.module))
    other = train(tmp_path / "c", dataclasses.replace(OPTIONS, seed=2))
    assert not torch.equal(parameters(first.module), parameters(other.module))


def test_without_resume_a_run_starts_anew(tmp_path):
    train(tmp_path)
    assert torch.equal(
        parameters(train(tmp_path).module), parameters(train(tmp_path / "fresh").module)
    )


def test_training_lowers_the_loss(tmp_path):
    train(tmp_path, dataclasses.replace(OPTIONS, steps=150, learning_rate=1e-2))
    losses = [loss for _, loss in logged(tmp_path)]
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])


def test_a_finished_run_takes_no_further_step(tmp_path):
    before = train(tmp_path)
    after = train(tmp_path, dataclasses.replace(OPTIONS, resume=True))
    assert after.step == before.step
    assert torch.equal(parameters(after.module), parameters(before.module))


def test_the_average_follows_the_weights_and_can_be_loaded(tmp_path):
    trainer = train(tmp_path, dataclasses.replace(OPTIONS, ema_decay=0.0))
    assert torch.allclose(parameters(trainer.ema), parameters(trainer.module))
    averaged = train(tmp_path / "averaged")
    assert not torch.allclose(parameters(averaged.ema), parameters(averaged.module))
    loaded = load_averaged(tiny_module(), tmp_path / "averaged")
    assert torch.equal(parameters(loaded), parameters(averaged.ema))
    first = load_averaged(nn.Linear(4, 8), tmp_path / "averaged", prefix="0.")
    assert torch.equal(first.weight, averaged.ema[0].weight)


def test_a_budget_of_minutes_ends(tmp_path):
    options = dataclasses.replace(OPTIONS, steps=None, minutes=0.2 / 60)
    trainer = train(tmp_path, options)
    assert trainer.step > 0
    assert trainer.progress == 1.0


@pytest.mark.parametrize("budget", [{}, {"steps": 1, "minutes": 1.0}])
def test_a_run_has_one_budget(budget):
    with pytest.raises(ValueError, match="budget"):
        TrainingOptions(**budget)


def test_evaluation_sees_the_average_and_is_logged(tmp_path):
    seen = []

    def evaluate(module):
        seen.append(module)
        return {"figure": 0.25}

    trainer = Trainer(tiny_module(), dataclasses.replace(OPTIONS, evaluate_every_s=0.0), tmp_path)
    trainer.fit(lambda: {"loss": trainer.module(torch.randn(2, 4)).square().mean()}, evaluate)
    assert len(seen) >= 12
    assert all(module is trainer.ema for module in seen)
    assert '"eval_figure": 0.25' in (tmp_path / "train.jsonl").read_text()
    assert trainer.module.training


def test_no_half_written_checkpoint_is_left(tmp_path):
    train(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "train.jsonl"}


def test_muon_takes_hidden_matrices_alone():
    module = tiny_module()
    module[3].adamw = True
    assert [id(p) for p in hidden_matrices(module)] == [id(module[0].weight)]
    module[0].weight.requires_grad_(False)
    assert hidden_matrices(module) == []


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 10)])
def test_orthogonalising_pushes_singular_values_towards_one(shape):
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert singular.min() > 0.3
    assert singular.max() < 1.3


def test_orthogonalising_keeps_each_matrix_apart():
    torch.manual_seed(0)
    matrices = torch.randn(3, 4, 6)
    together = orthogonalise(matrices)
    for alone, stacked in zip(matrices, together, strict=True):
        torch.testing.assert_close(orthogonalise(alone[None])[0], stacked)


def test_muon_handles_tall_and_wide_matrices_and_skips_those_without_gradient():
    torch.manual_seed(0)
    tall, wide, idle = (nn.Parameter(torch.randn(s)) for s in [(8, 3), (3, 8), (3, 8)])
    before = idle.clone()
    optimizer = Muon([tall, wide, idle], lr=0.1, weight_decay=0.0)
    target = torch.randn(8, 3)
    start = (tall - target).square().sum() + (wide.T - target).square().sum()
    for _ in range(60):
        optimizer.zero_grad()
        loss = (tall - target).square().sum() + (wide.T - target).square().sum()
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * start
    assert torch.equal(idle, before)
