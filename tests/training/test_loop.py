"""The training loop: an interrupted run equals an uninterrupted one, budgets, averages, Muon."""

import argparse
import dataclasses
import json
import os
import signal
import socket

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn

from training import average_runs
from training.loop import (
    Trainer,
    TrainingOptions,
    hidden_matrices,
    load_averaged,
    load_matching,
)
from training.muon import Muon, orthogonalise

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


class Counter:
    """A companion whose state is one number."""

    def __init__(self):
        self.count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_a_run_that_is_asked_to_stop_saves_its_last_step(tmp_path):
    module = tiny_module()
    trainer = Trainer(module, OPTIONS, tmp_path)

    def losses():
        if trainer.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": module(torch.randn(16, 4)).square().mean()}

    before = signal.getsignal(signal.SIGTERM)
    trainer.fit(losses)
    assert trainer.step == 5
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = Trainer(tiny_module(), dataclasses.replace(OPTIONS, resume=True), tmp_path)
    assert resumed.step == 5


def test_companions_are_saved_and_resumed_with_their_run(tmp_path):
    def run(steps, resume=False):
        options = dataclasses.replace(OPTIONS, steps=steps, resume=resume)
        companion = Counter()
        trainer = Trainer(tiny_module(), options, tmp_path, {"counter": companion})

        def losses():
            companion.count += 1
            return {"loss": trainer.module(torch.randn(2, 4)).square().mean()}

        trainer.fit(losses)
        return companion

    assert run(4).count == 4
    assert run(7, resume=True).count == 7
    assert run(2).count == 2  # without resuming it starts anew


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


def test_runs_that_parted_are_averaged_and_go_on(tmp_path):
    first = train(tmp_path / "a")
    second = train(tmp_path / "b", dataclasses.replace(OPTIONS, seed=2))
    runs = argparse.Namespace(runs=[tmp_path / "a", tmp_path / "b"], out=tmp_path / "both")
    average_runs.run(runs)
    merged = load_averaged(tiny_module(), tmp_path / "both")
    expected = (parameters(first.ema) + parameters(second.ema)) / 2
    torch.testing.assert_close(parameters(merged), expected)
    longer = dataclasses.replace(OPTIONS, steps=14, resume=True)
    assert train(tmp_path / "both", longer).step == 14


def test_runs_of_different_shapes_are_not_averaged():
    with pytest.raises(ValueError, match="same tensors"):
        average_runs.averaged([{"a": torch.zeros(2)}, {"a": torch.zeros(3)}])


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


# ---- several processes --------------------------------------------------------------------------

THREE_STEPS = dataclasses.replace(OPTIONS, steps=3, ema_decay=0.5)


def reversing_losses(trainer, ranks):
    """The mean loss of the batches that these ranks would draw."""
    sources = [torch.Generator().manual_seed(100 + rank) for rank in ranks]

    def losses():
        batches = [torch.randn(16, 4, generator=source) for source in sources]
        each = [(trainer.module(x) - x.flip(1)).square().mean() for x in batches]
        return {"loss": sum(each) / len(each)}

    return losses


def trained_by(ranks, run_dir, options=THREE_STEPS):
    trainer = Trainer(tiny_module(), options, run_dir)
    trainer.fit(reversing_losses(trainer, ranks), lambda _: {"figure": 1.0})
    return trainer


SOME_MINUTES = dataclasses.replace(OPTIONS, steps=None, minutes=0.2 / 60)


def one_of_two(rank, port, folder):
    """What each process does; torchrun would set the environment."""
    torch.set_num_threads(1)
    place = {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_PORT": str(port)}
    os.environ.update(place, MASTER_ADDR="127.0.0.1")
    for name, options in (("steps", THREE_STEPS), ("minutes", SOME_MINUTES)):
        trainer = trained_by([rank], folder / name, options)
        assert trainer.rank == rank
        found = (parameters(trainer.module), parameters(trainer.ema), torch.tensor(trainer.step))
        torch.save(found, folder / f"{name}-{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder in which two processes left what they learned together."""
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("this torch has no gloo, by which processes exchange gradients")
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(one_of_two, (port, folder), nprocs=2)
    return folder


def left_by_both(folder, name):
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_processes_learn_from_the_average_of_their_gradients(two_processes, tmp_path):
    first, second = left_by_both(two_processes, "steps")
    for mine, yours in zip(first, second, strict=True):
        assert torch.equal(mine, yours)
    together, alone = trained_by([0, 1], tmp_path / "both"), trained_by([0], tmp_path / "alone")
    assert int(first[2]) == together.step == 3
    torch.testing.assert_close(first[0], parameters(together.module), atol=1e-4, rtol=0)
    torch.testing.assert_close(first[1], parameters(together.ema), atol=1e-4, rtol=0)
    assert (first[0] - parameters(alone.module)).abs().max() > 3e-4


def test_only_the_first_process_writes(two_processes):
    lines = (two_processes / "steps/train.jsonl").read_text().splitlines()
    assert [e["step"] for e in map(json.loads, lines) if "loss" in e] == [1, 2, 3]
    assert sum("eval_figure" in line for line in lines) == 1
    saved = load_averaged(tiny_module(), two_processes / "steps")
    assert torch.equal(parameters(saved), left_by_both(two_processes, "steps")[0][1])


def test_two_processes_agree_on_the_end_of_a_budget_of_minutes(two_processes):
    first, second = left_by_both(two_processes, "minutes")
    assert int(first[2]) == int(second[2]) > 0
    assert torch.equal(first[0], second[0])


# ---- starting from another run ------------------------------------------------------------------


def grown(rows, width, final):
    """A module with an embedding, a layer whose inputs may change, and a scalar."""
    module = nn.ModuleDict(
        {"table": nn.Embedding(rows, 3), "layer": nn.Linear(width, 2), "last": nn.Linear(2, final)}
    )
    module.register_buffer("count", torch.full((), float(rows)))
    return module


def test_matching_rows_are_copied_and_the_rest_is_left(tmp_path):
    torch.manual_seed(1)
    old = grown(rows=4, width=5, final=3)
    torch.save(
        {"ema": {**old.state_dict(), "gone.weight": torch.ones(2)}}, tmp_path / "checkpoint.pt"
    )
    new = grown(rows=6, width=7, final=2)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    load_matching(new, tmp_path)
    table = new["table"].weight
    assert torch.equal(table[:4], old["table"].weight)
    assert torch.equal(table[4:], before["table.weight"][4:])
    assert torch.equal(new["layer"].weight, before["layer.weight"])  # its second axis differs
    assert torch.equal(new["layer"].bias, old["layer"].bias)
    assert torch.equal(new["last"].weight, old["last"].weight[:2])  # fewer rows now
    assert new.count == 4
    assert table.requires_grad


def test_parts_can_be_left_out_of_the_copy(tmp_path):
    old, new = grown(4, 5, 3), grown(4, 5, 3)
    torch.save({"ema": old.state_dict()}, tmp_path / "checkpoint.pt")
    before = new["layer"].weight.clone()
    load_matching(new, tmp_path, without=("layer", "count"))
    assert torch.equal(new["layer"].weight, before)
    assert torch.equal(new["table"].weight, old["table"].weight)
