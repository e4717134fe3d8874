"""From a recipe to the diffusion process; every `auto` must have been resolved by `plan`."""

import math
from typing import Any, Literal, assert_never

import torch

from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.family.dirichlet import Dirichlet, for_images, for_masks
from sfumato.diffusion.family.divergence import Divergence
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance
from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.diffusion.level.schedule import (
    EDM,
    VE,
    VP,
    Discrete,
    Flow,
    cosine,
    linear,
    scaled_linear,
    shifted,
    sigmoid,
    zero_terminal,
)
from sfumato.diffusion.level.training_noise import LogNormal, LogUniform, ShiftedCosine, TrainingNoise, Uniform
from sfumato.diffusion.process import Process
from sfumato.errors import UsageError
from sfumato.recipe import DataSection, Recipe, ToldSteps
from sfumato.recipe.process import (
    CategoricalProcess,
    EDMProcess,
    FlowProcess,
    GaussianProcess,
    NoProcess,
    SDDProcess,
    SSNProcess,
    VEProcess,
    VPProcess,
)

BELOW_CRITICAL = 3.0
"""Nats by which the median training noise of masks lies below the critical log-SNR.

At the critical log-SNR the coarse mask can be read off the noisy state; only below must the network read the image.
Centred there, half of the training teaches little: see benchmarks/RESULTS.md.
"""

LEAST_SIGMA = 0.05
"""Of a flow that predicts the data: below it errors count as much as there."""


def build_process(recipe: Recipe) -> Process:
    """The diffusion process; every `auto` of the recipe must have been resolved by `plan`."""
    label: Literal["schedule", "snr"] = "schedule" if isinstance(recipe.network, ToldSteps) else "snr"
    match recipe.process:
        case NoProcess(prediction=prediction):
            return Deterministic(prediction=prediction)
        case GaussianProcess() as p:
            return _gaussian(recipe, p, label=label)
        case VPProcess() as p:
            schedule = VP(beta_d=p.beta_d, beta_min=p.beta_min)
            return Gaussian(schedule=schedule, prediction="eps", training=Uniform(1e-5), label=label, min_snr=p.min_snr)
        case EDMProcess() | VEProcess() | FlowProcess() if label == "schedule":
            raise UsageError(
                f"a network of {recipe.network.kind} is told the noise level as a step of a table, "
                f"{recipe.process.kind.upper()} has none",
                remedy="--set process.kind=gaussian, or --set network.kind=unet",
            )
        case VEProcess() as p:
            law = LogUniform(p.sigma_min, p.sigma_max)
            return Gaussian(schedule=VE(maximum=p.sigma_max), prediction="score", training=law, min_snr=p.min_snr)
        case EDMProcess() as p:
            return Gaussian(
                schedule=EDM(),
                prediction=p.prediction,
                sigma_data=_number(p.sigma_data),
                training=_centred(p.critical_log_snr, LogNormal(p.log_sigma_mean, p.log_sigma_std)),
            )
        case FlowProcess() as p:
            return _flow(recipe, p)
        case SSNProcess() as p:
            assert p.classes != "auto", "the plan resolves every auto"
            return LowRankLogits(classes=p.classes, rank=p.rank, pairs=p.pairs)
        case CategoricalProcess() as p:
            return _categorical(recipe, p)
        case SDDProcess() as p:
            return _dirichlet(recipe, p)
        case _ as never:
            assert_never(never)


def _dirichlet(recipe: Recipe, p: SDDProcess) -> Dirichlet:
    """The process of shares; what the recipe leaves open is left to the defaults of masks or images."""
    if isinstance(recipe.network, ToldSteps):
        raise UsageError(
            f"a network of {recipe.network.kind} is told the noise level as a step of a table, SDD has none",
            remedy="--set process.kind=gaussian, or --set network.kind=unet",
        )
    wanted = {"eta": p.eta, "shift": p.shift, "scale": p.scale, "end": p.sigmoid_end}
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value != "auto"}
    given |= {"start": p.sigmoid_start, "power": p.sigmoid_power}
    loss = p.loss if p.loss != "auto" else "cross_entropy" if recipe.task == "segment" else "klub"
    given["objective"] = loss if loss == "cross_entropy" else Divergence(kind=loss, smoothing=p.smoothing)
    try:
        if recipe.task == "segment":
            assert p.classes != "auto", "the plan resolves every auto"
            return for_masks(p.classes, math.prod(recipe.data.seen), skip=p.skip, **given)
        assert p.intensities != "auto", "the plan resolves every auto"
        return for_images(p.intensities, smoothing=p.smoothing, **given)
    except ValueError as error:
        raise UsageError(f"process sdd: {error}", remedy="see docs/recipe.md for what its numbers mean") from None


def _categorical(recipe: Recipe, p: CategoricalProcess) -> Categorical:
    """The process of classes."""
    if isinstance(recipe.network, ToldSteps):
        raise UsageError(
            f"a network of {recipe.network.kind} is told the noise level as a step of a table, the categorical process "
            "tells ln(s) / 4",
            remedy="--set process.kind=gaussian, or --set network.kind=unet",
        )
    return Categorical(
        schedule=linear(p.timesteps) if p.schedule == "linear" else cosine(p.timesteps),
        training=_centred(p.critical_log_snr, Uniform(1 / p.timesteps)),
        objective=p.loss,
    )


def _gaussian(recipe: Recipe, p: GaussianProcess, *, label: Literal["schedule", "snr"]) -> Process:
    """The process of a table of betas."""
    learned = p.variance == "learned"
    if learned and recipe.task == "segment":
        raise UsageError("a learned variance is for generators", remedy="--set process.variance=small")
    law = Uniform(0.0 if learned else 1 / p.timesteps)  # learned: moved up to the next of T steps, all equally likely
    process = Gaussian(
        schedule=_table(p, recipe.data),
        prediction=p.prediction,
        training=_centred(p.critical_log_snr, law),
        label=label,
        variance="large" if p.variance == "large" else "small",
        min_snr=p.min_snr,
    )
    return LearnedVariance(process=process) if learned else process


def _flow(recipe: Recipe, p: FlowProcess) -> Gaussian:
    """The process of straight paths; larger images than the reference get every ratio of noise to signal larger."""
    factor = 1.0 if p.reference_side is None else max(recipe.data.seen) / p.reference_side
    law = Uniform() if p.logit_mean is None else LogNormal(p.logit_mean + math.log(factor), p.logit_std)
    return Gaussian(
        schedule=Flow(factor),
        prediction="velocity" if p.prediction == "v" else p.prediction,
        training=_centred(p.critical_log_snr, law),
        least_sigma=LEAST_SIGMA if p.prediction == "x0" else None,
    )


def _centred(critical: float | str | None, usual: TrainingNoise) -> TrainingNoise:
    """The law of training times: the usual one, or below the critical log-SNR where there is one."""
    return usual if critical is None else ShiftedCosine(_number(critical) - BELOW_CRITICAL)


def _table(p: GaussianProcess, data: DataSection) -> Discrete:
    """The table of betas, for images of the recipe's size."""
    ends = None if p.betas is None else (p.betas[0], p.betas[-1])
    match p.schedule:
        case "table":
            table = Discrete(torch.tensor(p.betas, dtype=torch.float64))
        case "cosine":
            table = cosine(p.timesteps)
        case "linear":
            table = linear(p.timesteps, ends=ends)
        case "scaled_linear":
            table = scaled_linear(p.timesteps, ends=ends)
        case "sigmoid":
            table = sigmoid(p.timesteps, ends=ends)
        case _ as never:
            assert_never(never)
    if p.reference_side is not None:
        table = shifted(table, max(data.seen) / p.reference_side)
    return zero_terminal(table) if p.zero_terminal_snr else table


def critical_log_snr(recipe: Recipe) -> float | None:
    """The resolved critical log-SNR of a recipe, if it has one."""
    value = getattr(recipe.process, "critical_log_snr", None)
    return None if value is None else _number(value)


def _number(value: float | str) -> float:
    if isinstance(value, str):
        raise AssertionError("the plan resolves every auto before objects are built")
    return value
