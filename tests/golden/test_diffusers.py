"""Schedulers of diffusers 0.42.1 at every step, to the 2e-4 that its float32 tables allow.

DDIM is walked a step at a time, because diffusers steps from entry t to t - 1000 // n, whatever its next entry is.
Where it steps to the noise level on which it stands (the Karras grid with `final_sigma_min`), ours goes 1e-9 further.
Runs that contradict their own mathematics are left out: see docs/goldens.md.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.gaussian import Gaussian, PredictionType
from sfumato.diffusion.level.schedule import EDM, VP, cosine, linear, ratio_grid
from sfumato.diffusion.process import Condition, Step
from sfumato.diffusion.sampler.ablation import euler, heun
from sfumato.diffusion.sampler.ancestral import ancestral, ddim
from sfumato.diffusion.sampler.multistep import deis, dpm_multistep, dpmpp_2m, dpmpp_3m, lms, unipc

from .gmm import Recorded, Trace, Watched, arrays, close, exact_network, sampling_loop

TABLES = {"linear": linear(1000), "squaredcos_cap_v2": cosine(1000)}
PREDICTIONS: dict[str, PredictionType] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
ITEMS = 8
"""Of the 16 of the problem, so many are stored."""

CONTRADICTING = (
    "ddim_clip/",
    "edm_euler_churn/",
    "heun/squaredcos_cap_v2/linspace/karras0/",
    "dpmsolver_multistep/squaredcos_cap_v2/linspace/karras1/dpmsolver/order2/final_sigma_min/steps5",
    "dpmsolver_multistep/squaredcos_cap_v2/linspace/karras1/dpmsolver/order3/final_sigma_min/steps5",
)
"""Beginnings of the names of runs that docs/goldens.md lists."""


@cache
def outputs() -> dict[str, Tensor]:
    """All arrays."""
    return arrays("diffusers") | arrays("diffusers_multistep")


def runs(prefix: str) -> list[str]:
    """The stored runs below a prefix."""
    names = {key.rpartition("/")[0] for key in outputs() if key.startswith(prefix)}
    return sorted(name for name in names if not name.startswith(CONTRADICTING))


def stored(run: str, name: str) -> Tensor:
    return outputs()[f"{run}/{name}"]


def latents() -> Tensor:
    return arrays("gmm")["latents"][:ITEMS]


def recorded() -> Tensor:
    return arrays("gmm")["noise"][:, :ITEMS]


def compare(run: str, trace: Trace, *, states: list[Tensor]) -> None:
    """The final state, and the state before each network call where it is stored."""
    tolerance = max(2e-4, 1e-7 * trace.ratios[0])  # at s = 20291 float32 holds x0_hat to no more than 2e-3
    if f"{run}/x_step" not in outputs():
        close(trace.final, stored(run, "x"), tolerance=tolerance)
        return
    golden = stored(run, "x_step")
    assert len(states) == len(golden) - 1
    for state, expected in zip([*states, trace.final], golden, strict=True):
        close(state, expected, tolerance=tolerance)


def scaled(process: Gaussian, trace: Trace) -> list[Tensor]:
    """The states that the denoiser saw, in the scale of the process."""
    alphas = [
        1 / (1 + ratio**2) ** 0.5 if process.schedule.scaling == "variance_preserving" else 1.0
        for ratio in trace.ratios
    ]
    return [alpha * asked for alpha, asked in zip(alphas, trace.asked, strict=True)]


def discrete(table: str, prediction: str, variance: str = "fixed_small") -> Gaussian:
    """The process of a run, with the conventions of networks from elsewhere."""
    return Gaussian(
        schedule=TABLES[table],
        prediction=PREDICTIONS[prediction],
        label="schedule",
        variance="small" if variance == "fixed_small" else "large",
    )


@pytest.mark.parametrize("run", [*runs("ddpm/"), *runs("ddpm_clip/")])
def test_ddpm(run: str):
    name, table, _, prediction, *variance, _ = run.split("/")
    process = discrete(table, prediction, *variance)
    times = [*((stored(run, "timesteps") + 1) / 1000).tolist(), 0.0]
    denoise = Denoiser(process, exact_network(process), 1.0 if name == "ddpm_clip" else None)
    trace = sampling_loop(ancestral, process, times, start=latents(), noise=recorded(), denoise=denoise)
    compare(run, trace, states=scaled(process, trace))


@pytest.mark.parametrize("run", runs("ddim/"))
def test_ddim(run: str):
    _, table, _, prediction, eta, last, _ = run.split("/")
    process, timesteps = discrete(table, prediction), stored(run, "timesteps").tolist()
    watched = Watched(process, Denoiser(process, exact_network(process), None))
    noise, x, ends = Recorded(recorded()), latents(), []
    for entry in timesteps:
        after = max(entry - 1000 // len(timesteps), 0 if last == "setalphatoone0" else -1)
        times = [(entry + 1) / 1000, (after + 1) / 1000]
        ((_, x, _),) = ddim(process, watched, x, Condition(), noise, times=times, eta=float(eta.removeprefix("eta")))
        ends.append(x)
    trace = Trace(watched.states, watched.ratios, ends)
    compare(run, trace, states=scaled(process, trace))


def steps(run: str) -> int:
    return int(run.rpartition("steps")[2])


def solver(algorithm: str, order: int, steps: int) -> Callable[..., Iterator[Step]]:
    """A DPM-Solver as diffusers sets it up."""
    eta, falling = float(algorithm.startswith("sde-")), 2 if steps < 15 else 0
    if not algorithm.endswith("++"):
        return partial(dpm_multistep, order=order, eta=eta, falling=falling)
    if order == 1:
        return partial(ddim, eta=eta)
    if order == 2:
        return partial(dpmpp_2m, eta=eta, falling=falling)
    return partial(dpmpp_3m, eta=eta, second="midpoint", falling=falling)


def grid(process: Gaussian, run: str) -> list[float]:
    """Times of the noise levels of a run, each below the one before."""
    ratios = stored(run, "sigmas").tolist()
    for i, (high, low) in enumerate(pairwise(ratios), start=1):
        ratios[i] = min(low, high * (1 - 1e-9))
    return ratio_grid(process.schedule, torch.tensor(ratios, dtype=torch.float64))[:-1]


def walk_ratios(run: str, sampler: Callable[..., Iterator[Step]]) -> None:
    """In the variance-preserving state, from unit noise.

    Given the ratios, every variance-preserving schedule walks alike; VP() has no largest ratio, while the float32 of
    the stored ones lies 7e-6 above the end of our cosine table.
    """
    process = Gaussian(schedule=VP(), prediction="eps")
    trace = sampling_loop(sampler, process, grid(process, run), start=latents(), noise=recorded())
    compare(run, trace, states=scaled(process, trace))


@pytest.mark.parametrize("run", runs("dpmsolver_multistep/"))
def test_dpm_solver(run: str):
    algorithm, order = run.split("/")[4:6]
    walk_ratios(run, solver(algorithm, int(order.removeprefix("order")), steps(run)))


@pytest.mark.parametrize("run", runs("unipc/"))
def test_unipc(run: str):
    form, order = run.split("/")[4:6]
    walk_ratios(run, partial(unipc, form=form, order=int(order.removeprefix("order"))))


@pytest.mark.parametrize("run", runs("deis/"))
def test_deis(run: str):
    walk_ratios(run, partial(deis, order=2, falling=2 if steps(run) < 15 else 0))


UNSCALED = {"euler": euler, "euler_ancestral": partial(ddim, eta=1.0), "heun": heun, "lms4": lms}


@pytest.mark.parametrize("run", [run for name in UNSCALED for run in runs(f"{name}/")])
def test_samplers_of_the_unscaled_state(run: str):
    """Their state is x_t / alpha; the start is unit noise times s, or sqrt(s^2 + 1) with leading spacing."""
    name, _, spacing, *_ = run.split("/")
    process = Gaussian(schedule=VP(), prediction="eps")
    ratios = stored(run, "sigmas")[:-1]
    if name == "heun":  # which lists the end of each step twice
        ratios = torch.cat([ratios[:1], ratios[1::2]])
    times = ratio_grid(process.schedule, ratios)
    alpha, _ = process.coefficients(times[0])
    start = latents() * (ratios[0] ** 2 + (spacing == "leading")).sqrt() * alpha
    trace = sampling_loop(UNSCALED[name], process, times, start=start, noise=recorded())
    compare(run, trace, states=trace.asked)


@pytest.mark.parametrize("run", [*runs("edm_euler/"), *runs("edm_dpmsolver/")])
def test_edm_schedulers(run: str):
    process = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
    name, _, *solved, _ = run.split("/")
    sampler = euler
    if name == "edm_dpmsolver":
        sampler = solver(solved[0], int(solved[1].removeprefix("order")), steps(run))
    start = latents() * (80**2 + 1) ** 0.5
    trace = sampling_loop(sampler, process, grid(process, run), start=start, noise=recorded())
    compare(run, trace, states=trace.asked)


def test_nothing_is_missing():
    """An empty list of parameters would test nothing."""
    names = "ddpm ddpm_clip ddim dpmsolver_multistep unipc deis euler euler_ancestral heun lms4 edm_euler edm_dpmsolver"
    counts = [len(runs(f"{name}/")) for name in names.split()]
    assert counts == [36, 6, 90, 234, 120, 12, 36, 18, 21, 12, 6, 30]
