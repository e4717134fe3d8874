"""From words to objects: the one place where a recipe becomes a process, a network, a sampler and a task.

Below this file, functions take the numbers that they need and never see a recipe.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

import torch
from torch import nn

from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.pack import Pack
from sfumato.data.source import Hints
from sfumato.data.spec import Spec
from sfumato.diffusion.deterministic import Deterministic
from sfumato.diffusion.gaussian import Centred, Gaussian, LogNormal, Uniform
from sfumato.diffusion.process import Process
from sfumato.diffusion.schedule import EDM, cosine, critical_grid, karras_grid, linear, log_snr_grid, uniform_grid
from sfumato.errors import UsageError
from sfumato.networks.foreign import DiffusersUNet, MonaiUNet
from sfumato.networks.unet import UNet
from sfumato.recipe import (
    Augment,
    Augmentation,
    Data,
    EDMProcess,
    ForeignNetwork,
    GaussianProcess,
    NonLeaking,
    NoProcess,
    Recipe,
    Sample,
    UNetNetwork,
)
from sfumato.tasks.segment import Segment
from sfumato.tasks.synthesise import Synthesise
from sfumato.tasks.task import Sampler, Task, spread

HIGHEST_RATIO = 80.0
"""Where samplers of images start: beyond it steps are wasted (EDM's sigma_max)."""

BELOW_CRITICAL = 3.0
"""Nats by which the median training noise of masks lies below the critical log-SNR.

At the critical log-SNR the coarse mask can be read off the noisy state; only below must the network read the image.
Centred there, half of the training teaches little: see benchmarks/RESULTS.md.
"""

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
    native = isinstance(recipe.network, ForeignNetwork)
    match recipe.process:
        case NoProcess(prediction=prediction):
            return Deterministic(prediction=prediction)
        case GaussianProcess() as p:
            return Gaussian(
                schedule=(linear if p.schedule == "linear" else cosine)(p.timesteps),
                prediction=p.prediction,
                training=Uniform(1 / p.timesteps)
                if p.critical_log_snr is None
                else Centred(_number(p.critical_log_snr) - BELOW_CRITICAL),
                label="schedule" if native else "snr",
                min_snr=p.min_snr,
            )
        case EDMProcess() if native:
            raise UsageError(
                f"a network of {recipe.network.kind} is told the noise level as a step of a table, EDM has none",
                remedy="--set process.kind=gaussian, or --set network.kind=unet",
            )
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
        case _ as never:
            assert_never(never)


def build_network(recipe: Recipe, spec: Spec) -> nn.Module:
    """The network of a task on data of a kind, with its initial weights drawn from the recipe's seed."""
    segment = recipe.task == "segment"
    state, output = build_process(recipe).channels(len(spec.mask_classes) if segment else spec.channels)
    n = recipe.network
    assert n.channels != "auto" and n.multipliers != "auto" and n.blocks != "auto", "the plan resolves every auto"
    levels = _attention_levels(n.attention, spec.size, len(n.multipliers))
    shape: dict[str, Any] = {
        "channels_in": state,
        "channels_out": output,
        "channels_condition": spec.channels if segment else 0,
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
                return UNet(**shape, dropout=n.dropout, augment_labels=told)
            case ForeignNetwork():
                return (DiffusersUNet if n.kind == "diffusers" else MonaiUNet)(**shape)
            case _ as never:
                assert_never(never)


def build_sampler(sample: Sample, process: Process, *, critical: float | None) -> Sampler:
    """The sampler with its times.

    Args:
        sample: the recipe's words.
        process: the process to sample.
        critical: the critical log-SNR, where the grid is centred on it.

    Raises:
        UsageError: a combination that makes no sense.
    """
    if not isinstance(process, Gaussian):
        return Sampler(name="ancestral", times=(1.0, 0.0))
    return Sampler(name=sample.sampler, times=tuple(_times(sample, process, critical)))


def build_task(recipe: Recipe, pack: Pack, process: Process, *, device: str) -> Task:
    """The job on a prepared dataset."""
    sampler = build_sampler(recipe.sample, process, critical=critical_log_snr(recipe))
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
                seed=recipe.train.seed, device=device,
            )  # fmt: skip
        case "generate":
            return Synthesise(
                pack=pack, process=process, sampler=sampler, guidance=recipe.sample.guidance, rows=held_out,
                train_rows=spread(train, len(held_out)), augment=augment, drop_label=recipe.train.drop_label,
                batch=recipe.train.global_batch, seed=recipe.train.seed, device=device,
            )  # fmt: skip
        case _ as never:
            assert_never(never)


def critical_log_snr(recipe: Recipe) -> float | None:
    """The resolved critical log-SNR of a recipe, if it has one."""
    value = getattr(recipe.process, "critical_log_snr", None)
    return None if value is None else _number(value)


def _times(sample: Sample, process: Gaussian, critical: float | None) -> list[float]:
    schedule, steps = process.schedule, sample.steps
    end = float(schedule.ratio(torch.ones(1, dtype=torch.float64)))
    low, high = LOWEST_RATIO, min(HIGHEST_RATIO, end)
    match sample.grid:
        case "uniform":
            return uniform_grid(steps)
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
        case _ as never:
            assert_never(never)


def _attention_levels(sides: Sequence[int], size: Sequence[int], levels: int) -> tuple[int, ...]:
    """The levels whose longer side is one of `sides` pixels (rounded up)."""
    return tuple(level for level in range(levels) if -(-max(size) // 2**level) in sides)


def _number(value: float | str) -> float:
    if isinstance(value, str):
        raise AssertionError("the plan resolves every auto before objects are built")
    return value
