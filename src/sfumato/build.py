"""From words to objects: the one place where a recipe becomes a process, a network, a sampler and a task.

Below this file, functions take the numbers that they need and never see a recipe.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, assert_never

import torch
from torch import nn

from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.pack import Pack
from sfumato.data.source import Hints
from sfumato.data.spec import Spec
from sfumato.diffusion.catalogue import SAMPLERS
from sfumato.diffusion.categorical import Categorical
from sfumato.diffusion.deterministic import Deterministic
from sfumato.diffusion.dirichlet import Dirichlet, for_images, for_masks
from sfumato.diffusion.divergence import Divergence
from sfumato.diffusion.fading import Fading, geometric_grid
from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.guidance import EVERYWHERE, Guidance, times_of
from sfumato.diffusion.law import Centred, LogNormal, LogUniform, Uniform
from sfumato.diffusion.learned import LearnedVariance
from sfumato.diffusion.process import Network, Process
from sfumato.diffusion.schedule import (
    EDM,
    VE,
    VP,
    Discrete,
    Levels,
    cosine,
    critical_grid,
    karras_grid,
    linear,
    log_snr_grid,
    polyexponential_grid,
    scaled_linear,
    shifted,
    sigmoid,
    uniform_grid,
    zero_terminal,
)
from sfumato.diffusion.singlestep import Churn
from sfumato.diffusion.spacing import leading_grid, linspace_grid, trailing_grid
from sfumato.errors import UsageError
from sfumato.networks.foreign import DiffusersUNet, MonaiUNet
from sfumato.networks.uncertainty import Weighted
from sfumato.networks.unet import UNet
from sfumato.recipe import (
    Augment,
    Augmentation,
    CategoricalProcess,
    Data,
    EDMProcess,
    ForeignNetwork,
    GaussianProcess,
    NonLeaking,
    NoProcess,
    Recipe,
    Sample,
    SamplePath,
    SDDProcess,
    UNetNetwork,
    VEProcess,
    VPProcess,
)
from sfumato.tasks.segment import Segment
from sfumato.tasks.synthesise import Synthesise
from sfumato.tasks.task import Sampler, Task, spread

HIGHEST_RATIO = 80.0
"""Where samplers of images start: beyond it steps are wasted (EDM's sigma_max)."""

WARM_WIDTH = 4.0
"""Nats of log-SNR above the critical one over which the steps of a warm start lie."""

BELOW_CRITICAL = 3.0
"""Nats by which the median training noise of masks lies below the critical log-SNR.

At the critical log-SNR the coarse mask can be read off the noisy state; only below must the network read the image.
Centred there, half of the training teaches little: see benchmarks/RESULTS.md.
"""

FROM_PURE_NOISE = ("ancestral", "ddim", "euler_ancestral")
"""Samplers that can start at an infinite noise-to-signal ratio; others count in its logarithm."""

LOWEST_RATIO = 0.002
"""Where samplers of images end before the last step to 0 (EDM's sigma_min)."""


def build_hints(data: Data) -> Hints:
    """What the recipe says about a source."""
    source = data.source
    return Hints(
        columns={role: name for role, name in source.columns.model_dump().items() if name is not None},
        table=None if source.table is None else Path(source.table),
        drop_unpaired=source.drop_unpaired,
        group_by=source.group_by,
        class_level=source.class_level,
        slice_axis=source.slice_axis,
        component=source.component,
        fold=data.split.fold,
    )


def build_augment(recipe: Recipe) -> Ranges | Pipe:
    """The numbers of `data.augment`: of a preset, of one with changes, or of the non-leaking pipe.

    `_asdict()` of them is a `data.augment` that builds the same, whatever becomes of the presets.

    Raises:
        UsageError: a non-leaking pipe for masks, or for a network that cannot be told about it.
    """
    numbers = _augment(recipe.data.augment)
    if isinstance(numbers, Pipe) and recipe.task == "segment":
        raise UsageError(
            "non_leaking augmentation is for generators: it does not move masks with their images",
            remedy="--set data.augment=medium, or another preset",
        )
    if isinstance(numbers, Pipe) and isinstance(recipe.network, ForeignNetwork):
        raise UsageError(
            f"a network of {recipe.network.kind} cannot be told what was done to an image, so augmentation would leak",
            remedy="--set data.augment=none, or --set network.kind=unet",
        )
    return numbers


def _augment(augment: Augment) -> Ranges | Pipe:
    match augment:
        case "auto":
            raise AssertionError("the plan resolves every auto before objects are built")
        case "non_leaking":
            return Pipe()
        case Augmentation() as own:
            return PRESETS[own.base]._replace(**own.model_dump(exclude={"base"}, exclude_none=True))
        case NonLeaking() as own:
            return Pipe(**own.model_dump(exclude={"kind"}, exclude_none=True))
        case _:
            return PRESETS[augment]


def build_process(recipe: Recipe) -> Process:
    """The diffusion process; every `auto` of the recipe must have been resolved by `plan`."""
    label: Literal["schedule", "snr"] = "schedule" if isinstance(recipe.network, ForeignNetwork) else "snr"
    match recipe.process:
        case NoProcess(prediction=prediction):
            return Deterministic(prediction=prediction)
        case GaussianProcess() as p:
            return _gaussian(recipe, p, label=label)
        case VPProcess() as p:
            schedule = VP(beta_d=p.beta_d, beta_min=p.beta_min)
            return Gaussian(schedule=schedule, prediction="eps", training=Uniform(1e-5), label=label, min_snr=p.min_snr)
        case EDMProcess() | VEProcess() if label == "schedule":
            raise UsageError(
                f"a network of {recipe.network.kind} is told the noise level as a step of a table, "
                f"{recipe.process.kind.upper()} has none",
                remedy="--set process.kind=gaussian, or --set network.kind=unet",
            )
        case VEProcess() as p:
            law = LogUniform(p.sigma_min, p.sigma_max)
            return Gaussian(schedule=VE(maximum=p.sigma_max), prediction="score", training=law, min_snr=p.min_snr)
        case EDMProcess() as p:
            centre = p.critical_log_snr
            return Gaussian(
                schedule=EDM(),
                prediction=p.prediction,
                sigma_data=_number(p.sigma_data),
                training=LogNormal(p.log_sigma_mean, p.log_sigma_std)
                if centre is None
                else Centred(_number(centre) - BELOW_CRITICAL),
            )
        case CategoricalProcess() as p:
            return _categorical(recipe, p)
        case SDDProcess() as p:
            return _dirichlet(recipe, p)
        case _ as never:
            assert_never(never)


def _dirichlet(recipe: Recipe, p: SDDProcess) -> Dirichlet:
    """The process of shares; what the recipe leaves open is left to the defaults of masks or images."""
    if isinstance(recipe.network, ForeignNetwork):
        raise UsageError(
            f"a network of {recipe.network.kind} is told the noise level as a step of a table, SDD has none",
            remedy="--set process.kind=gaussian, or --set network.kind=unet",
        )
    wanted = {"eta": p.eta, "shift": p.shift, "scale": p.scale, "end": p.sigmoid_end}
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value != "auto"}
    given |= {"start": p.sigmoid_start, "power": p.sigmoid_power}
    if p.loss != "auto":
        smoothing = p.smoothing if recipe.task == "generate" else "none"
        given["objective"] = p.loss if p.loss == "cross_entropy" else Divergence(kind=p.loss, smoothing=smoothing)
    try:
        if recipe.task == "segment":
            assert p.classes != "auto" and recipe.data.size != "auto", "the plan resolves every auto"
            return for_masks(p.classes, math.prod(recipe.data.size), skip=p.skip, **given)
        assert p.intensities != "auto", "the plan resolves every auto"
        return for_images(p.intensities, smoothing=p.smoothing, **given)
    except ValueError as error:
        raise UsageError(f"process sdd: {error}", remedy="see docs/recipe.md for what its numbers mean") from None


def _categorical(recipe: Recipe, p: CategoricalProcess) -> Categorical:
    """The process of classes."""
    if isinstance(recipe.network, ForeignNetwork):
        raise UsageError(
            f"a network of {recipe.network.kind} is told the noise level as a step of a table, the categorical process "
            "tells ln(s) / 4",
            remedy="--set process.kind=gaussian, or --set network.kind=unet",
        )
    centre = p.critical_log_snr
    return Categorical(
        schedule={"linear": linear, "cosine": cosine}[p.schedule](p.timesteps),
        training=Uniform(1 / p.timesteps) if centre is None else Centred(_number(centre) - BELOW_CRITICAL),
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
        training=law if p.critical_log_snr is None else Centred(_number(p.critical_log_snr) - BELOW_CRITICAL),
        label=label,
        variance="large" if p.variance == "large" else "small",
        min_snr=p.min_snr,
    )
    return LearnedVariance(process=process) if learned else process


def _table(p: GaussianProcess, data: Data) -> Discrete:
    """The table of betas, for images of the recipe's size."""
    tables = {"linear": linear, "cosine": cosine, "scaled_linear": scaled_linear, "sigmoid": sigmoid}
    table = tables[p.schedule](p.timesteps)
    if p.reference_side is not None:
        assert data.size != "auto", "the plan resolves every auto before objects are built"
        table = shifted(table, max(data.size) / p.reference_side)
    return zero_terminal(table) if p.zero_terminal_snr else table


def build_network(recipe: Recipe, spec: Spec) -> nn.Module:
    """The network of a task on data of a kind, with its initial weights drawn from the recipe's seed."""
    segment = recipe.task == "segment"
    state, output = build_process(recipe).channels(len(spec.mask_classes) if segment else spec.channels)
    own = _self_condition(recipe, spec)
    n = recipe.network
    assert n.channels != "auto" and n.multipliers != "auto" and n.blocks != "auto", "the plan resolves every auto"
    levels = _attention_levels(n.attention, spec.size, len(n.multipliers))
    shape: dict[str, Any] = {
        "channels_in": state,
        "channels_out": output,
        "channels_condition": (spec.channels if segment else 0) + own,
        "classes": 0 if segment else len(spec.classes),
        "channels": n.channels,
        "multipliers": n.multipliers,
        "blocks": n.blocks,
        "attention": levels,
    }
    augment = None if recipe.data.augment == "auto" else build_augment(recipe)  # auto never becomes a pipe
    told = augment.labels if isinstance(augment, Pipe) else 0
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(recipe.train.seed)
        match n:
            case UNetNetwork():
                network: nn.Module = UNet(**shape, dropout=n.dropout, augment_labels=told)
            case ForeignNetwork():
                network = (DiffusersUNet if n.kind == "diffusers" else MonaiUNet)(**shape)
            case _ as never:
                assert_never(never)
    return _weighted(recipe, network) if recipe.loss.uncertainty else network


def _weighted(recipe: Recipe, network: nn.Module) -> nn.Module:
    """The network beside the uncertainty of its estimates."""
    if recipe.task == "segment" or isinstance(recipe.network, ForeignNetwork):
        raise UsageError(
            "loss.uncertainty weighs the levels ln(s) / 4 of generators",
            expected="sfumato train generate with our network",
            remedy="--set loss.uncertainty=false",
        )
    return Weighted(network)


def build_run_sampler(recipe: Recipe, sample: Sample, spec: Spec, process: Process) -> Sampler:
    """The sampler for a recipe's network.

    Args:
        recipe: of the run.
        sample: how to sample, which need not be the recipe's way.
        spec: the data.
        process: the process to sample.
    """
    sampler = build_sampler(sample, process, critical=critical_log_snr(recipe))
    return replace(sampler, self_condition=_self_condition(recipe, spec))


def _self_condition(recipe: Recipe, spec: Spec) -> int:
    """Channels of the estimate that the network is shown."""
    if recipe.train.self_condition == 0:
        return 0
    return len(spec.mask_classes) if recipe.task == "segment" else spec.channels


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
        return Sampler(name="ancestral", times=(1.0, 0.0))
    if not SAMPLERS[sample.sampler].suits(process):
        fitting = ", ".join(name for name, entry in SAMPLERS.items() if entry.suits(process))
        raise UsageError(f"{sample.sampler} is for Gaussian processes", expected=f"a sampler that draws: {fitting}")
    times = _times(sample, walked, critical)
    if isinstance(walked, Gaussian) and walked.coefficients(times[0])[0] == 0 and sample.sampler not in FROM_PURE_NOISE:
        raise UsageError(
            f"{sample.sampler} cannot start where no signal is left (process.zero_terminal_snr)",
            remedy=f"--set sample.grid=log_snr, or --set sample.sampler={FROM_PURE_NOISE[0]}",
        )
    return Sampler(name=sample.sampler, times=tuple(times), options=_options(sample), warm=warm)


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


def build_guidance(sample: Sample, process: Process, *, classes: int, weak: Network | None = None) -> Guidance:
    """The guidance of a recipe.

    Args:
        sample: the recipe's words.
        process: the process to sample.
        classes: number of classes of the model; 0 for a model without.
        weak: the network of autoguidance; None for classifier-free guidance.

    Raises:
        UsageError: there is neither a class to drop nor a weak network, or there are no levels for an interval.
    """
    if sample.guidance != 1 and not classes and weak is None:
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


def build_task(recipe: Recipe, pack: Pack, process: Process, *, device: str) -> Task:
    """The job on a prepared dataset."""
    sample = recipe.sample.model_copy(update={"start": "noise"})  # the twin, if there will be one, is trained later
    sampler = build_run_sampler(recipe, sample, pack.spec, process)
    _check_own_estimates(recipe, process)
    train = pack.rows("train")
    held_out = spread(pack.rows("validation") or train, recipe.validate_.cases)
    augment = build_augment(recipe)
    if isinstance(augment, Pipe):
        augment.check(channels=pack.spec.channels, size=pack.spec.size)
    match recipe.task:
        case "segment":
            assert isinstance(augment, Ranges), "build_augment refuses pipes for masks"
            return Segment(
                pack=pack, process=process, sampler=sampler, rows=held_out, augment=augment,
                process_weight=recipe.loss.process, dice_weight=recipe.loss.dice, batch=recipe.train.global_batch,
                seed=recipe.train.seed, recycle=recipe.train.recycle, self_condition=recipe.train.self_condition,
                device=device,
            )  # fmt: skip
        case "generate":
            guidance = build_guidance(recipe.sample, process, classes=len(pack.spec.classes))
            return Synthesise(
                pack=pack, process=process, sampler=sampler, guidance=guidance, rows=held_out,
                train_rows=spread(train, len(held_out)), augment=augment, drop_label=recipe.train.drop_label,
                batch=recipe.train.global_batch, seed=recipe.train.seed, uncertainty=recipe.loss.uncertainty,
                self_condition=recipe.train.self_condition, device=device,
            )  # fmt: skip
        case _ as never:
            assert_never(never)


def _check_own_estimates(recipe: Recipe, process: Process) -> None:
    """Refuse to train on the network's own estimates where that says nothing.

    Raises:
        UsageError: of a model of images, of the twin, or of a prediction whose target is the noise in the state.
    """
    train = recipe.train
    if recipe.task == "generate" and (train.recycle > 0 or recipe.sample.start == "twin"):
        raise UsageError(
            "train.recycle and sample.start=twin are for masks", remedy="leave them out, or train self_condition"
        )
    if isinstance(process, Deterministic) and (train.recycle > 0 or train.self_condition > 0):
        raise UsageError(
            "process none has no state that could be made from the network's estimate",
            remedy="--set train.recycle=0 --set train.self_condition=0",
        )
    if train.recycle > 0 and isinstance(process, Gaussian) and process.prediction not in ("logits", "x0"):
        raise UsageError(
            f"train.recycle with prediction {process.prediction}: its target is taken from the noise, which a "
            "state made from an estimate hides",
            expected="process.prediction=logits, or x0",
        )


def critical_log_snr(recipe: Recipe) -> float | None:
    """The resolved critical log-SNR of a recipe, if it has one."""
    value = getattr(recipe.process, "critical_log_snr", None)
    return None if value is None else _number(value)


def _times(sample: Sample, process: Gaussian | Categorical | Dirichlet, critical: float | None) -> list[float]:
    schedule, steps = process.schedule, sample.steps
    if sample.start == "twin":
        return _warm_times(schedule, steps, critical)
    low, high = _range(process)
    match sample.grid:
        case "uniform":
            return uniform_grid(steps)
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
            return critical_grid(schedule, steps, centre=critical)
        case "geometric":
            if not isinstance(schedule, Fading):
                raise UsageError("the geometric grid is for process sdd", remedy="--set sample.grid=log_snr")
            return geometric_grid(schedule, steps)
        case _ as never:
            assert_never(never)


def _warm_times(schedule: Levels, steps: int, critical: float | None) -> list[float]:
    """Steps equally spaced in log-SNR from the critical one upwards: above it the twin's mask would be read off."""
    if critical is None:
        raise UsageError(
            "a warm start corrupts the twin's mask to the critical log-SNR, and this model has none",
            remedy="train with process.critical_log_snr=auto, or sample.start=noise",
        )
    return critical_grid(schedule, steps, centre=critical + WARM_WIDTH / 2, width=WARM_WIDTH / 2)


def _range(process: Gaussian | Categorical | Dirichlet) -> tuple[float, float]:
    """The noise-to-signal ratios between which images are sampled: those of training where it has bounds, or EDM's."""
    if isinstance(process, Dirichlet):
        return reach(process.schedule)
    if isinstance(process.training, LogUniform):
        return process.training.low, process.training.high
    end = float(process.schedule.ratio(torch.ones(1, dtype=torch.float64)))
    return LOWEST_RATIO, min(HIGHEST_RATIO, end)


def reach(levels: Levels) -> tuple[float, float]:
    """The noise-to-signal ratios that a process reaches, a little inside."""
    low, high = levels.ratio(torch.tensor([1e-2, 1.0], dtype=torch.float64)).tolist()
    return low, high


def _table_times(sample: Sample, schedule: Levels) -> list[float]:
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


def _attention_levels(sides: Sequence[int], size: Sequence[int], levels: int) -> tuple[int, ...]:
    """The levels whose longer side is one of `sides` pixels (rounded up)."""
    return tuple(level for level in range(levels) if -(-max(size) // 2**level) in sides)


def _number(value: float | str) -> float:
    if isinstance(value, str):
        raise AssertionError("the plan resolves every auto before objects are built")
    return value
