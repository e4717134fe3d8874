"""The averages of EDM and EDM2, the reconstruction of other widths, and EDM2's learning rate."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.training.ema import EMA, decay
from sfumato.training.profile import Kept, exponent, inner, power_decay, reconstruct_average, width_of
from sfumato.training.rate import learning_rate_at

from .gmm import arrays

GOLDEN = {name: array.numpy() for name, array in arrays("edm_ema").items()}
SNAPSHOTS = [Kept(*each) for each in zip(GOLDEN["phema/in_ofs"], GOLDEN["phema/in_std"], strict=True)]
WISHED = GOLDEN["phema/out_std"].tolist()


@pytest.mark.parametrize("key", sorted(key for key in GOLDEN if key.startswith("edm/beta")))
def test_half_life(key: str):
    half_life, ratio, batch = re.fullmatch(r"edm/beta_half(.+)_ratio(.+)_batch(.+)", key).groups()
    ramp = None if ratio == "None" else float(ratio)
    for images, beta in zip(GOLDEN["edm/nimg"], GOLDEN[key], strict=True):
        ours = decay(int(images), half_life=float(half_life), batch=int(batch), ramp=ramp)
        assert ours == pytest.approx(beta, rel=1e-12, abs=1e-30)


def test_widths_and_exponents():
    assert [width_of(g) for g in GOLDEN["phema/exp"]] == pytest.approx(GOLDEN["phema/exp_to_std"], rel=1e-14)
    assert [exponent(width) for width in GOLDEN["phema/std"]] == pytest.approx(GOLDEN["phema/std_to_exp"], rel=1e-12)


@pytest.mark.parametrize("width", [0.05, 0.1])
def test_power_function(width: float):
    """Theirs counts images after the step, ours before it."""
    for after, beta in zip(GOLDEN["phema/t_next"], GOLDEN[f"phema/beta_std{width}_delta512"], strict=True):
        assert power_decay(int(after) - 512, width=width, batch=512) == pytest.approx(beta, rel=1e-12)


def test_profile():
    """What the golden file holds is the profile at whole numbers, made to add up to 1."""
    profile = np.arange(1001.0) ** exponent(0.1)
    assert profile / profile.sum() == pytest.approx(GOLDEN["phema/response_ofs1000_std0.1_len1001"], abs=1e-16)


def test_inner_products():
    """Of width 0.05 at 100, 200 and 300 with width 0.1 at 100, 250 and 300."""
    ours = [[inner(Kept(a, 0.05), Kept(b, 0.1)) for b in (100.0, 250.0, 300.0)] for a in (100.0, 200.0, 300.0)]
    assert np.array(ours) == pytest.approx(GOLDEN["phema/corr"], rel=1e-12)


@pytest.mark.parametrize("column", range(len(WISHED)))
def test_shares(column: int):
    found = reconstruct_average(SNAPSHOTS, Kept(float(GOLDEN["phema/out_ofs"]), WISHED[column]))
    assert found.shares == pytest.approx(GOLDEN["phema/coefs"][:, column], abs=1e-14)


class SamplingLoop(nn.Module):
    """A network of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros((), dtype=torch.float64))


def walked(width: float) -> list[float]:
    """The average of the golden random walk after each of its steps."""
    sampling_loop, places = SamplingLoop(), []
    average = EMA(sampling_loop, width=width)
    for step, place in enumerate(GOLDEN["phema/walk_theta"]):
        sampling_loop.place.data.fill_(place)
        average.update(sampling_loop, images=step, batch=1)
        places.append(average.network.place.item())
    return places


def test_a_random_walk_is_averaged_and_reconstructed():
    """Their own reconstruction, to rounding; the average that was tracked, within what the profiles leave open."""
    tracked = {width: walked(width) for width in sorted({*WISHED, 0.05, 0.1})}
    snapshots = np.array([tracked[each.width][int(each.time) - 1] for each in SNAPSHOTS])
    assert snapshots == pytest.approx(GOLDEN["phema/walk_snapshots"], rel=1e-10)
    assert [tracked[width][-1] for width in WISHED] == pytest.approx(GOLDEN["phema/walk_direct"], rel=1e-10)
    found = [reconstruct_average(SNAPSHOTS, Kept(800.0, width)) for width in WISHED]
    ours = [float(np.dot(each.shares, snapshots)) for each in found]
    assert ours == pytest.approx(GOLDEN["phema/walk_reconstructed"], rel=1e-10)


@pytest.mark.parametrize("key", sorted(key for key in GOLDEN if key.startswith("edm2_lr/batch")))
def test_learning_rate(key: str):
    """Each image is a step of its own; their warm-up of 10 million images is one of these steps behind ours."""
    batch, peak, held = re.fullmatch(r"edm2_lr/batch(.+)_ref(.+)_dec(.+)", key).groups()
    for images, rate in zip(GOLDEN["edm2_lr/nimg"], GOLDEN[key], strict=True):
        ours = learning_rate_at(
            0.0, int(images) - 1, int(images), peak=float(peak), warmup_steps=10_000_000, schedule="inverse_sqrt",
            held_images=int(held) * int(batch),
        )  # fmt: skip
        assert ours == pytest.approx(rate, rel=1e-12)
