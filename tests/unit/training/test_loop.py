"""A run is a pure function of its settings: resumed, cut in pieces or in float16, it is the same mathematics."""

import math
from collections.abc import Mapping
from itertools import count, islice, pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sfumato.errors import ModelError, UsageError
from sfumato.training import checkpoint, loop
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import Diverged, Progress, StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.precision import LossScale, resolve_precision

ROWS = 13
IMAGES = torch.randn(ROWS, 3, 6, 6, generator=torch.Generator().manual_seed(1))
STREAM = DataOrder(tuple(range(ROWS)), batch=8, seed=5)
PLAIN = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5)


def make(*, dropout: float = 0.3, width: int = 8) -> TrainingState:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 1)
    network = nn.Sequential(first, nn.SiLU(), nn.Dropout(dropout), last).to(memory_format=torch.channels_last)
    network.register_parameter("idle", nn.Parameter(torch.ones(2, 2)))
    return TrainingState(
        network, EMA(network, half_life=60.0), make_optimizer(network, learning_rate=0.01, weight_decay=0.1)
    )


def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    images = IMAGES[list(batch.rows)]
    error = (network(images) - images).square().mean((1, 2, 3))
    return {"loss": error + 0.1 * error.sqrt(), "mse": error}


def run(parts: TrainingState, steps: int = 12, settings: TrainingSettings = PLAIN, term=loss) -> list[Progress]:
    return list(training_loop(parts, term, STREAM, until=StoppingCriterion(steps=steps), settings=settings))


def assert_equal(first: TrainingState, second: TrainingState) -> None:
    assert first.step == second.step
    for stem, group in first.tensors().items():
        other = second.tensors()[stem]
        assert group.keys() == other.keys()
        assert not [name for name in group if not torch.equal(group[name], other[name])], stem


def assert_close(first: TrainingState, second: TrainingState, tolerance: float) -> None:
    for stem in ("model", "ema"):
        for name, tensor in first.tensors()[stem].items():
            torch.testing.assert_close(second.tensors()[stem][name], tensor, rtol=tolerance, atol=tolerance)


def save(folder: Path, parts: TrainingState) -> Path:
    return checkpoint.save(folder, step=parts.step, tensors=parts.tensors(), headers={}, state=parts.state())


# --- what it does


def test_it_learns_and_tells_how_far_it_is():
    told = run(make(dropout=0.0), steps=60)
    assert told[-1].terms["loss"] < 0.7 * told[0].terms["loss"]
    assert [progress.step for progress in told] == list(range(1, 61))
    assert [progress.images for progress in told] == list(range(8, 481, 8))
    assert [progress.fraction for progress in told] == [step / 60 for step in range(1, 61)]
    assert told[0].learning_rate == pytest.approx(0.0025)
    assert all(later.seconds > sooner.seconds for sooner, later in pairwise(told))


def test_terms_and_gradient_norm_are_those_of_the_global_batch():
    parts = make(dropout=0.0)
    terms = loss(parts.network, STREAM.batch_at(0)[0])
    used = [weight for name, weight in parts.network.named_parameters() if name != "idle"]
    gradients = torch.autograd.grad(terms["loss"].mean(), used)
    told = run(parts, steps=1)[0]
    assert told.terms == pytest.approx({name: term.mean().item() for name, term in terms.items()}, rel=1e-6)
    assert told.gradient_norm == pytest.approx(math.sqrt(sum(g.square().sum().item() for g in gradients)), rel=1e-6)


def test_the_update_is_that_of_the_clipped_gradient():
    parts, reference = make(dropout=0.0), make(dropout=0.0)
    run(parts, steps=1, settings=TrainingSettings(learning_rate=0.01, warmup_steps=1, clip=1e-3))
    loss(reference.network, STREAM.batch_at(0)[0])["loss"].mean().backward()
    reference.network.idle.grad = torch.zeros(2, 2)
    nn.utils.clip_grads_with_norm_(
        reference.network.parameters(), 1e-3, nn.utils.get_total_norm([p.grad for p in reference.network.parameters()])
    )
    reference.optimizer.step()
    for name, tensor in reference.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


def test_the_average_follows_the_weights_after_each_step():
    parts, images = make(), 0
    average = EMA(parts.network, half_life=60.0)
    for progress in training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=12), settings=PLAIN):
        average.update(parts.network, images=images, batch=8)
        images = progress.images
    assert torch.equal(average.network[0].weight, parts.ema.network[0].weight)
    assert not torch.equal(parts.network[0].weight, parts.ema.network[0].weight)


@pytest.mark.parametrize(
    ("until", "steps"),
    [(StoppingCriterion(steps=3), 3), (StoppingCriterion(images=17), 3), (StoppingCriterion(images=16), 2)],
)
def test_length_in_steps_and_images(until, steps):
    assert len(list(training_loop(make(), loss, STREAM, until=until, settings=PLAIN))) == steps


def test_length_in_minutes_counts_training_only(monkeypatch):
    """On a clock that gains a second with each look at it, and a thousand between two steps."""
    now = count(0.0, 1.0)
    away = 0.0
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(now) + away)
    told = []
    for progress in training_loop(make(), loss, STREAM, until=StoppingCriterion(minutes=1.0), settings=PLAIN):
        told.append(progress)
        away += 1000.0
    assert 60 <= told[-1].seconds < 64
    assert told[-1].fraction == 1
    assert len(told) > 10
    assert told[-1].learning_rate < 0.001


@pytest.mark.parametrize(
    ("until", "pace", "steps"),
    [
        (StoppingCriterion(steps=30, minutes=1.0), 1.0, 30),  # the clock would allow 60
        (StoppingCriterion(steps=30, minutes=1.0), 6.0, 10),
        (StoppingCriterion(images=80, minutes=1.0), 1.0, 10),
        (StoppingCriterion(steps=30, minutes=1.0, least_steps=12), 6.0, 12),
        (StoppingCriterion(steps=30, minutes=1.0, least_steps=12), 1000.0, 12),
        (StoppingCriterion(steps=30, minutes=1.0, least_steps=12), 4.0, 15),
        (StoppingCriterion(minutes=1.0, least_steps=12), 30.0, 12),
    ],
)
def test_a_count_with_a_ceiling_and_a_floor(until: StoppingCriterion, pace: float, steps: int) -> None:
    """With `pace` seconds for a step of 8 images: the run ends at 1, and what is done of it only grows."""
    done = [until.fraction(step, 8 * step, pace * step) for step in range(steps + 1)]
    assert done[0] == 0 and done[-1] == 1 and max(done[:-1]) < 1
    assert done == sorted(done)


@pytest.mark.parametrize(
    "length",
    [{}, {"steps": 3, "images": 9}, {"steps": 0}, {"images": -5}, {"steps": 3, "least_steps": 1}, {"least_steps": 3}],
)
def test_an_unclear_length_is_refused(length):
    with pytest.raises(UsageError, match="length"):
        StoppingCriterion(**length)


def test_loss_terms_must_be_per_sample():
    with pytest.raises(ValueError, match=r"\(8,\).*'loss': \(\)"):
        run(make(), term=lambda network, _: {"loss": network(IMAGES).mean()})


def test_more_processes_than_samples_are_refused(monkeypatch):
    monkeypatch.setattr(loop, "world", lambda: 9)
    with pytest.raises(UsageError, match="batch of 8 for 9 processes"):
        run(make())


# --- the same mathematics


@pytest.mark.parametrize("pieces", [2, 4, 8])
def test_accumulation_changes_nothing(pieces):
    whole, cut = make(dropout=0.0), make(dropout=0.0)
    told = (
        run(whole),
        run(cut, settings=TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5, accumulate=pieces)),
    )
    assert_close(whole, cut, 1e-6)
    assert told[0][-1].terms == pytest.approx(told[1][-1].terms, rel=1e-5)


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 7, 11, 12])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_resuming_is_exact(tmp_path, stop, accumulate):
    settings = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5, accumulate=accumulate)
    whole, stopped, resumed = make(), make(), make()
    expected = run(whole, settings=settings)
    list(islice(training_loop(stopped, loss, STREAM, until=StoppingCriterion(steps=12), settings=settings), stop))
    save(tmp_path, stopped)
    torch.randn(stop)
    resumed.restore(checkpoint.newest(tmp_path))
    told = run(resumed, settings=settings)
    assert_equal(whole, resumed)
    assert [progress.terms for progress in told] == [progress.terms for progress in expected[stop:]]
    assert resumed.seconds > stopped.seconds or stop == 12


def test_dropout_is_drawn_anew_in_each_step_and_piece():
    """Two rows that are the same see other masks, and the same step sees the same ones."""
    seen = []

    def spy(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        seen.append(nn.functional.dropout(torch.ones(64), 0.5))
        return loss(network, batch)

    for _ in range(2):
        run(make(), steps=3, term=spy, settings=TrainingSettings(accumulate=2))
    assert len({tuple(mask.tolist()) for mask in seen}) == 6
    assert all(torch.equal(mask, again) for mask, again in zip(seen[:6], seen[6:], strict=True))


def test_validation_between_steps_changes_nothing():
    whole, watched = make(), make()
    run(whole)
    for _ in training_loop(watched, loss, STREAM, until=StoppingCriterion(steps=12), settings=PLAIN):
        watched.network.eval()
        with torch.no_grad():
            watched.network(torch.randn(2, 3, 6, 6))
    assert_equal(whole, watched)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    save(tmp_path, make(width=8))
    with pytest.raises(ModelError, match="another network"):
        make(width=9).restore(checkpoint.newest(tmp_path))


# --- numbers that are not finite


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_loss_that_is_not_finite_stops_before_the_update(value, accumulate):
    bad = STREAM.batch_at(5)[0].rows[3]

    def poisoned(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        terms = loss(network, batch)
        poison = torch.tensor([value if batch.step == 5 and row == bad else 1.0 for row in batch.rows])
        return {"loss": terms["loss"] * poison}

    parts, reference = make(), make()
    settings = TrainingSettings(learning_rate=0.01, warmup_steps=4, accumulate=accumulate)
    with pytest.raises(Diverged, match="step 5") as caught:
        run(parts, settings=settings, term=poisoned)
    assert caught.value.step == 5
    assert caught.value.rows == (bad,)
    list(islice(training_loop(reference, loss, STREAM, until=StoppingCriterion(steps=12), settings=settings), 5))
    assert_equal(parts, reference)


def test_a_gradient_that_is_not_finite_stops_before_the_update():
    def poisoned(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        terms = loss(network, batch)
        zero = network[0].bias.sum() * 0
        return {"loss": terms["loss"] + torch.sqrt(zero)}  # the value is 0, the gradient 0 / 0

    parts = make()
    with pytest.raises(Diverged, match="step 0") as caught:
        run(parts, term=poisoned)
    assert caught.value.rows == STREAM.batch_at(0)[0].rows
    assert_equal(parts, make())


# --- 16 bits


def overflowing(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """A loss whose gradient overflows when the loss is scaled by more than 1,000."""
    terms = loss(network, batch)
    terms["loss"].register_hook(lambda grad: torch.where(grad > 1000 / 8, torch.inf, grad))
    return terms


def test_an_overflow_in_float16_repeats_the_step_with_half_the_scale():
    parts, plain = make(), make()
    half = TrainingSettings(learning_rate=0.01, warmup_steps=4, clip=0.5, precision="fp16")
    for each in (parts, plain):
        each.optimizer = torch.optim.SGD(each.network.parameters(), lr=0.01)  # Adam would not see a wrong scale
    told = run(parts, settings=half, term=overflowing)
    run(plain, settings=half)
    assert parts.scale == LossScale(512.0, 12)
    assert [progress.step for progress in told] == list(range(1, 13))
    assert_close(parts, plain, 1e-4)


def test_the_scale_is_restored(tmp_path):
    parts, resumed = make(), make()
    parts.scale, parts.best = LossScale(128.0, 77), {"dice": 0.7, "step": 3}
    save(tmp_path, parts)
    resumed.restore(checkpoint.newest(tmp_path))
    assert resumed.scale == LossScale(128.0, 77)
    assert resumed.best == {"dice": 0.7, "step": 3}


def test_the_scale_grows_after_good_steps_and_gives_up_at_one():
    scale = LossScale(2.0, LossScale.patience - 1)
    scale.grow()
    assert scale == LossScale(4.0, 0)
    assert scale.shrink()
    assert scale.shrink()
    assert not scale.shrink()
    assert scale == LossScale(1.0, 0)


def test_bfloat16_trains():
    told = run(make(), steps=30, settings=TrainingSettings(learning_rate=0.01, warmup_steps=4, precision="bf16"))
    assert told[-1].terms["loss"] < 0.8 * told[0].terms["loss"]


def test_precision_follows_the_hardware(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for amx, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda amx=amx: {"amx_bf16": amx})
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
        assert resolve_precision("auto", cpu) == expected
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
        assert resolve_precision("auto", cpu) == "fp32", "held to an older processor, whatever it has"
    for supported, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert resolve_precision("auto", cuda) == expected
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    assert resolve_precision("fp16", cpu) == "fp16"
    with pytest.raises(UsageError, match="fp8"):
        resolve_precision("fp8", cpu)
