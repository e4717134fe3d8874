"""Memory that runs out, losses that are no numbers, signals: the same for all processes, and the mathematics stays."""

import json
import math
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sfumato.training import checkpoint
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.gradient import Loss
from sfumato.training.loop import WINDOW, Diverged, Progress, StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.processes import process_group

from .forks import together

IMAGES = torch.randn(23, 3, 6, 6, generator=torch.Generator().manual_seed(1))
STREAM = DataOrder(tuple(range(23)), batch=12, seed=5)
SETTINGS = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5, bad_steps=2)
BAD = STREAM.batch_at(4)[0].rows[7]


def make() -> TrainingState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 3, 1))
    return TrainingState(network, EMA(network, half_life=60.0), make_optimizer(network, learning_rate=0.01))


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    return {"loss": (network(IMAGES[list(batch.rows)]) - 1).square().mean((1, 2, 3))}


def holding(most: int, *, since: int = 0, seen: list[int] | None = None) -> Loss:
    """A loss for which memory holds so many samples, from a step on; it fails on the way back from the first piece."""

    def limited(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        terms = loss(network, batch)
        if seen is not None:
            seen.append(len(batch.rows))
        if len(batch.rows) > most and batch.step >= since and batch.slots[-1] > 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return terms

    return limited


def poisoned(steps: tuple[int, ...]) -> Loss:
    """A loss that is NaN for one row in these steps."""

    def bad(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        poison = [math.nan if batch.step in steps and row == BAD else 1.0 for row in batch.rows]
        return {"loss": loss(network, batch)["loss"] * torch.tensor(poison)}

    return bad


def run(
    parts: TrainingState, term: Loss = loss, *, steps: int = 10, settings: TrainingSettings = SETTINGS
) -> list[Progress]:
    return list(training_loop(parts, term, STREAM, until=StoppingCriterion(steps=steps), settings=settings))


def weights(parts: TrainingState) -> list[float]:
    return torch.cat([tensor.reshape(-1) for tensor in parts.network.state_dict().values()]).tolist()


def shared(tmp_path: Path, work: Callable[[int], object], *, world: int = 2) -> list[object]:
    """What the processes return, as JSON."""

    def write(rank: int) -> None:
        with process_group():
            (tmp_path / f"{rank}.json").write_text(json.dumps(work(rank)))

    for done in together(tmp_path, write, world=world):
        assert done.code == 0, done.said
    return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(world)]


# --- out of memory


@pytest.mark.parametrize(("most", "piece", "cuts"), [(12, None, 1), (7, 6, 2), (5, 3, 4), (1, 1, 12)])
@pytest.mark.parametrize("since", [0, 6])
def test_pieces_are_halved_when_memory_runs_out_and_the_result_is_the_same(most, piece, cuts, since):
    whole, cut = make(), make()
    expected, told = run(whole), run(cut, holding(most, since=since))
    assert cut.piece == piece
    assert [each.accumulate for each in told] == [1] * since + [cuts] * (10 - since)
    assert [each.step for each in told if each.shrunk] == ([] if piece is None else [since + 1])
    assert weights(cut) == pytest.approx(weights(whole), rel=1e-6, abs=1e-6)
    assert [each.terms["loss"] for each in told] == pytest.approx([each.terms["loss"] for each in expected], rel=1e-6)


def test_a_resumed_run_starts_with_the_pieces_that_fitted(tmp_path):
    parts, resumed, seen = make(), make(), list[int]()
    list(islice(training_loop(parts, holding(5), STREAM, until=StoppingCriterion(steps=10), settings=SETTINGS), 3))
    checkpoint.save(tmp_path, step=3, tensors=parts.tensors(), headers={}, state=parts.state())
    resumed.restore(checkpoint.newest(tmp_path))
    run(resumed, holding(5, seen=seen))
    assert set(seen) == {3}


def test_one_sample_that_does_not_fit_and_other_errors_go_on():
    with pytest.raises(torch.OutOfMemoryError):
        run(make(), holding(0))

    def wrong(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(make(), wrong)


def test_when_one_process_runs_out_of_memory_all_cut_alike(tmp_path):
    def work(rank: int) -> object:
        parts = make()
        told = run(parts, holding(2 if rank == 1 else 12, since=2))
        return [parts.piece, [each.accumulate for each in told], [each.shrunk for each in told], weights(parts)]

    first, second = shared(tmp_path, work)
    whole = make()
    run(whole)
    assert first == second
    assert first[0] == 2 and first[2] == [step == 2 for step in range(10)]
    assert first[1] == [1, 1] + [3] * 8
    assert first[3] == pytest.approx(weights(whole), rel=1e-5, abs=1e-6)


# --- not a number


def test_a_bad_step_is_passed_over_and_told():
    parts = make()
    told = run(parts, poisoned((4,)))
    assert parts.skipped == [5] and [each.step for each in told] == list(range(1, 11))
    assert [each.bad_rows for each in told] == [(BAD,) if each.step == 5 else () for each in told]
    assert math.isnan(told[4].terms["loss"])
    assert all(math.isfinite(value) for value in weights(parts))


def test_it_changes_nothing_but_the_number_of_the_step():
    before, after = make(), make()
    list(islice(training_loop(before, loss, STREAM, until=StoppingCriterion(steps=10), settings=SETTINGS), 4))
    list(islice(training_loop(after, poisoned((4,)), STREAM, until=StoppingCriterion(steps=10), settings=SETTINGS), 5))
    assert weights(after) == weights(before)
    for stem in ("ema", "optimizer"):
        ours, theirs = after.tensors()[stem], before.tensors()[stem]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert after.step == before.step + 1


@pytest.mark.parametrize(("limit", "at"), [(0, 2), (1, 3), (2, 7)])
def test_one_more_than_allowed_ends_the_run(limit, at):
    parts = make()
    with pytest.raises(Diverged, match=f"step {at}") as caught:
        run(parts, poisoned_everywhere((2, 3, 7)), settings=TrainingSettings(bad_steps=limit))
    assert caught.value.step == at == parts.step
    assert len(parts.skipped) == limit


def poisoned_everywhere(steps: tuple[int, ...]) -> Loss:
    return lambda network, batch: {"loss": loss(network, batch)["loss"] * (math.nan if batch.step in steps else 1.0)}


def test_only_those_of_the_last_thousand_steps_count_also_after_a_resume(tmp_path):
    parts, resumed = make(), make()
    parts.skipped, parts.step = [5, 8], WINDOW + 5
    checkpoint.save(tmp_path, step=parts.step, tensors=parts.tensors(), headers={}, state=parts.state())
    resumed.restore(checkpoint.newest(tmp_path))
    bad = poisoned_everywhere((WINDOW + 5, WINDOW + 6))
    with pytest.raises(Diverged, match=f"step {WINDOW + 6}"):
        run(resumed, bad, steps=WINDOW + 10)
    assert resumed.skipped == [5, 8, WINDOW + 6]


def test_all_processes_pass_over_the_same_step_though_one_has_the_row(tmp_path):
    def work(rank: int) -> object:
        parts = make()
        told = run(parts, poisoned((4,)))
        return [parts.skipped, [list(each.bad_rows) for each in told], weights(parts)]

    first, second = shared(tmp_path, work)
    assert first == second
    assert first[0] == [5] and first[1][4] == [BAD]


# --- signals


@pytest.mark.parametrize("world", [1, 2])
def test_a_signal_to_one_process_is_told_to_all_in_the_same_step(tmp_path, world):
    def work(rank: int) -> object:
        steps = iter(range(100))
        stopping = lambda: next(steps) == 3 and rank == world - 1  # noqa: E731
        told = training_loop(
            make(), loss, STREAM, until=StoppingCriterion(steps=10), settings=SETTINGS, stopping=stopping
        )
        return [each.step for each in told if each.stopping]

    told = shared(tmp_path, work, world=world) if world > 1 else [work(0)]
    assert told == [[4]] * world
