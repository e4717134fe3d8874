"""The shapes of the learning rate."""

from math import pi

import pytest
import torch

from sfumato.training.rate import learning_rate_at


def rate(fraction: float, step: int = 10**6, schedule: str = "cosine") -> float:
    return learning_rate_at(float(fraction), step, 0, peak=2.0, warmup_steps=100, schedule=schedule)


def test_cosine_falls_from_the_peak_to_zero():
    assert rate(0) == 2.0
    assert rate(0.5) == pytest.approx(1.0)
    assert rate(1) == pytest.approx(0.0, abs=1e-12)
    assert rate(0.9, schedule="constant") == 2.0


def test_warm_up_is_linear_and_never_zero():
    rates = [rate(0, step) for step in range(200)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[49] == pytest.approx(1.0)
    assert rates[99:] == [2.0] * 101
    assert learning_rate_at(0.0, 0, 0, peak=2.0, warmup_steps=0, schedule="constant") == 2.0


def test_the_warm_up_multiplies_the_schedule():
    assert rate(0.5, 49) == pytest.approx(0.5)


def test_one_cycle_is_that_of_pytorch():
    """PyTorch's halves end one step early: at 30 % of the steps less one, and at the last step."""
    steps = 1000
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2.0, total_steps=steps, cycle_momentum=False)
    theirs = []
    for _ in range(steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ours = [rate(step / steps, schedule="onecycle") for step in range(steps)]
    assert ours == pytest.approx(theirs, abs=2 * pi / 2 / (0.3 * steps))
    assert ours[0] == theirs[0] == pytest.approx(0.08)
    assert rate(1, schedule="onecycle") == pytest.approx(theirs[-1]) == pytest.approx(8e-6)
    assert max(ours) == rate(0.3, schedule="onecycle") == 2.0


def test_inverse_square_root_is_held_and_then_falls():
    def held(images: int) -> float:
        return learning_rate_at(0.0, 10**6, images, peak=2.0, warmup_steps=0, schedule="inverse_sqrt", held_images=100)

    assert [held(images) for images in (0, 50, 100)] == [2.0] * 3
    assert held(400) == pytest.approx(1.0)
    assert held(10_000) == pytest.approx(0.2)
