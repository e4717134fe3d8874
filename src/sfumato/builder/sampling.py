"""From a recipe to the sampler, its times and options, and to guidance."""

import math
from dataclasses import replace
from typing import Any, assert_never

import torch

from sfumato.builder.network import self_condition
from sfumato.builder.process import critical_log_snr
from sfumato.data.spec import Spec
from sfumato.diffusion.family.beta_schedule import BetaSchedule, geometric_grid
from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.dirichlet import Dirichlet
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance
from sfumato.diffusion.guidance import EVERYWHERE, Guidance, times_of
from sfumato.diffusion.level.schedule import (
    Discrete,
    NoiseLevels,
    critical_grid,
    karras_grid,
    log_snr_grid,
    polyexponential_grid,
    uniform_grid,
)
from sfumato.diffusion.level.spacing import leading_grid, linspace_grid, trailing_grid
from sfumato.diffusion.level.training_noise import LogUniform
from sfumato.diffusion.process import Network, Process
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.diffusion.sampler.singlestep import Churn
from sfumato.errors import UsageError
from sfumato.recipe import (
    Recipe,
    Sample,
    SamplePath,
)
from sfumato.tasks.task import Sampler

HIGHEST_RATIO = 80.0
"""Where samplers of images start: beyond it steps are wasted (EDM's sigma_max)."""

LOWEST_RATIO = 0.002
"""Where samplers of images end before the last step to 0 (EDM's sigma_min)."""

WARM_WIDTH = 4.0
"""Nats of log-SNR above the critical one over which the steps of a warm start lie."""

FROM_PURE_NOISE = ("ancestral", "ddim", "euler_ancestral")
"""Samplers that can start at an infinite noise-to-signal ratio; others count in its logarithm."""


def build_run_sampler(recipe: Recipe, sample: Sample, spec: Spec, process: Process) -> Sampler:
    """The sampler for a recipe's network.

    Args:
        recipe: of the run.
        sample: how to sample, which need not be the recipe's way.
        spec: the data.
        process: the process to sample.
    """
    if SAMPLERS[sample.sampler].jumps and recipe.train.few_calls is None:
        raise UsageError(
            f"{sample.sampler} is for models that were taught to jump",
            expected="a model trained with --few-calls",
            remedy="sfumato train generate --few-calls 2 --init RUN, with the run of this flow",
        )
    sampler = build_sampler(sample, process, critical=critical_log_snr(recipe))
    return replace(sampler, self_condition=self_condition(recipe, spec))


def build_sampler(sample: Sample, process: Process, *, critical: float | None) -> Sampler:
    """The sampler with its times.

    Args:
        sample: the recipe's words.
        process: the process to sample.
        critical: the critical log-SNR, where the grid is centred on it.

    Raises:
        UsageError: a combination that makes no sense.
    """
    walked = process.process if isinstance(process, LearnedVariance) else process
    warm = sample.start == "twin"
    if not isinstance(walked, Gaussian | Categorical | Dirichlet):
        if warm:
            raise UsageError("a warm start needs a process with noise levels", remedy="leave sample.start out")
        return Sampler(name="ancestral", times=(1.0, 0.0), words={"sampler": "ancestral", "steps": 1})
    if not SAMPLERS[sample.sampler].suits(process):
        fitting = ", ".join(name for name, entry in SAMPLERS.items() if entry.suits(process))
        raise UsageError(f"{sample.sampler} is for Gaussian processes", expected=f"a sampler that draws: {fitting}")
    times = _times(sample, walked, critical)
    if isinstance(walked, Gaussian) and walked.coefficients(times[0])[0] == 0 and sample.sampler not in FROM_PURE_NOISE:
        raise UsageError(
            f"{sample.sampler} cannot start where no signal is left, as the {sample.grid} grid does here",
            remedy=f"--set sample.grid=log_snr, or --set sample.sampler={FROM_PURE_NOISE[0]}",
        )
    return Sampler(
        name=sample.sampler, times=tuple(times), options=_options(sample), warm=warm, words=_words_of(sample)
    )


def _words_of(sample: Sample) -> dict[str, Any]:
    """All that decides a sampler, flat; None where nothing is said, and what is seldom said only where it is."""
    churn, path, usual = sample.churn, sample.path, Sample()
    words = {
        "sampler": sample.sampler,
        "steps": sample.steps,
        "grid": None if sample.start == "twin" else sample.grid,
        "eta": sample.eta,
        "churn": churn.amount or None,
    }
    seldom = {
        "start": (sample.start, usual.start),
        "order": (sample.order, usual.order),
        "alpha": (sample.alpha, usual.alpha),
        "churn_low": (churn.low, usual.churn.low),
        "churn_high": (churn.high, usual.churn.high),
        "churn_scale": (churn.scale, usual.churn.scale),
        "path_schedule": (path.schedule, usual.path.schedule),
        "path_scaling": (path.scaling, usual.path.scaling),
    }
    return words | {name: value for name, (value, default) in seldom.items() if value != default}


def _options(sample: Sample) -> dict[str, Any]:
    """The settings that the sampler is told.

    Raises:
        UsageError: a setting that the sampler does not know.
    """
    churn, path = sample.churn, sample.path
    given = {name: getattr(sample, name) for name in ("eta", "order", "alpha")}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if churn.amount > 0:
        high = math.inf if churn.high is None else churn.high
        options["churn"] = Churn(amount=churn.amount, low=churn.low, high=high, scale=churn.scale)
    if path.schedule == "vp" and sample.steps < 2:
        raise UsageError("a VP path runs between two noise levels", expected="two steps or more")
    if path != SamplePath():
        options |= {"schedule": path.schedule, "scaling": path.scaling}
    if unknown := sorted(options.keys() - SAMPLERS[sample.sampler].options):
        knowing = [name for name, entry in SAMPLERS.items() if entry.options.issuperset(unknown)]
        raise UsageError(
            f"the sampler {sample.sampler} knows no {', '.join(unknown)}",
            expected=f"a sampler that does: {', '.join(knowing) or 'there is none that knows all of them'}",
            remedy="choose one of these, or leave the setting out",
        )
    return options


def build_guidance(
    sample: Sample, process: Process, *, classes: int, from_mask: bool = False, weak: Network | None = None
) -> Guidance:
    """The guidance of a recipe.

    Args:
        sample: the recipe's words.
        process: the process to sample.
        classes: number of classes of the model; 0 for a model without.
        from_mask: whether the model makes images from masks, which were dropped at times.
        weak: the network of autoguidance; None for classifier-free guidance.

    Raises:
        UsageError: there is neither a class to drop nor a weak network, or there are no levels for an interval.
    """
    if sample.guidance != 1 and not (classes or from_mask) and weak is None:
        raise UsageError(
            f"guidance {sample.guidance:g} of a model without classes",
            expected="classes, or a weaker model to move from",
            remedy="--guidance 1, or --guide with an earlier snapshot of the run",
        )
    interval = EVERYWHERE if sample.guidance_interval is None else sample.guidance_interval
    try:
        times_of(process, interval)
    except ValueError as error:
        raise UsageError(str(error), remedy="leave the guidance interval out") from None
    return Guidance(scale=sample.guidance, interval=interval, weak=weak)


def _times(sample: Sample, process: Gaussian | Categorical | Dirichlet, critical: float | None) -> list[float]:
    schedule, steps = process.schedule, sample.steps
    if sample.start == "twin":
        return _warm_times(schedule, steps, critical)
    low, high = _range(process)
    match sample.grid:
        case "uniform":
            highest = jump_start(schedule) if SAMPLERS[sample.sampler].jumps else 1.0
            return [highest * t for t in uniform_grid(steps)]
        case "trailing" | "leading" | "linspace":
            return _table_times(sample, schedule)
        case "polyexponential":
            return polyexponential_grid(schedule, steps, low=low, high=high)
        case "karras":
            return karras_grid(schedule, steps, low=low, high=high)
        case "log_snr":
            return log_snr_grid(schedule, steps, low=low, high=high)
        case "critical":
            if critical is None:
                raise UsageError(
                    "the critical grid needs a critical log-SNR",
                    remedy="set process.critical_log_snr=auto, or another sample.grid",
                )
            return _critical_times(schedule, steps, centre=critical)
        case "geometric":
            if not isinstance(schedule, BetaSchedule):
                raise UsageError("the geometric grid is for process sdd", remedy="--set sample.grid=log_snr")
            return geometric_grid(schedule, steps)
        case _ as never:
            assert_never(never)


def jump_start(schedule: NoiseLevels) -> float:
    """The time from which a flow that was taught to jump starts: where others begin that start from noise alone."""
    return float(schedule.time(torch.tensor(HIGHEST_RATIO, dtype=torch.float64)))


def _warm_times(schedule: NoiseLevels, steps: int, critical: float | None) -> list[float]:
    """Steps equally spaced in log-SNR from the critical one upwards: above it the twin's mask would be read off."""
    if critical is None:
        raise UsageError(
            "a warm start corrupts the twin's mask to the critical log-SNR, and this model has none",
            remedy="train with process.critical_log_snr=auto, or sample.start=noise",
        )
    return _critical_times(schedule, steps, centre=critical + WARM_WIDTH / 2, width=WARM_WIDTH / 2)


def _critical_times(schedule: NoiseLevels, steps: int, *, centre: float, width: float = 4.0) -> list[float]:
    """The critical grid, or in words why there is none."""
    try:
        return critical_grid(schedule, steps, centre=centre, width=width)
    except ValueError as error:
        raise UsageError(f"process.critical_log_snr: {error}", remedy="--set process.critical_log_snr=auto") from None


def _range(process: Gaussian | Categorical | Dirichlet) -> tuple[float, float]:
    """The noise-to-signal ratios between which images are sampled: those of training where it has bounds, or EDM's."""
    if isinstance(process, Dirichlet):
        return _reach(process.schedule)
    if isinstance(process.training, LogUniform):
        return process.training.low, process.training.high
    end = float(process.schedule.ratio(torch.ones(1, dtype=torch.float64)))
    return LOWEST_RATIO, min(HIGHEST_RATIO, end)


def _reach(levels: NoiseLevels) -> tuple[float, float]:
    """The noise-to-signal ratios that a process reaches, a little inside."""
    low, high = levels.ratio(torch.tensor([1e-2, 1.0], dtype=torch.float64)).tolist()
    return low, high


def _table_times(sample: Sample, schedule: NoiseLevels) -> list[float]:
    """A grid of the entries of a table of betas."""
    if not isinstance(schedule, Discrete):
        raise UsageError(
            f"the {sample.grid} grid keeps steps of a table, and this process has none",
            remedy="--set sample.grid=log_snr, or train with process.kind=gaussian",
        )
    grids = {"trailing": trailing_grid, "leading": leading_grid, "linspace": linspace_grid}
    try:
        return grids[sample.grid](schedule, sample.steps)
    except ValueError as error:
        raise UsageError(f"sample.grid={sample.grid}: {error}") from None
