"""Smoothed Dirichlet diffusion by recipe: every word reaches the process, wrong ones are refused in words."""

import itertools
import math
from typing import Any

import pytest
import torch

from sfumato.builder.network import build_network
from sfumato.builder.process import build_process, critical_log_snr
from sfumato.builder.sampling import build_sampler
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.dirichlet import KLUB, Dirichlet, for_images, for_masks
from sfumato.diffusion.family.divergence import Divergence
from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.randomness import Noise
from sfumato.recipe import SamplerName, TaskKind, load_recipe
from sfumato.tasks.task import Sampler

KINDS = {
    "masks": ("segment", "process={kind: sdd, classes: 2, critical_log_snr: -4.0}"),
    "masks3": ("segment", "process={kind: sdd, classes: 3, critical_log_snr: -4.0}"),
    "images": ("generate", "process={kind: sdd, intensities: [-0.5, 0.5]}"),
}
GRIDS = ("uniform", "karras", "polyexponential", "log_snr", "critical", "geometric")
OWN_GRIDS = [(kind, grid) for kind, grid in itertools.product(KINDS, GRIDS) if (kind, grid) != ("images", "critical")]


def built(kind: str, *settings: str) -> Dirichlet:
    task, process = KINDS[kind]
    recipe = load_recipe(task, settings=[process, "data.size=[16, 12]", *settings])  # type: ignore[arg-type]
    made = build_process(recipe)
    assert isinstance(made, Dirichlet)
    return made


def walk(kind: str, *settings: str) -> Sampler:
    task, process = KINDS[kind]
    recipe = load_recipe(task, settings=[process, "data.size=[16, 12]", *settings])  # type: ignore[arg-type]
    return build_sampler(recipe.sample, build_process(recipe), critical=critical_log_snr(recipe))


@pytest.mark.parametrize("task", ["segment", "generate"])
def test_the_process_brings_its_defaults(task: TaskKind) -> None:
    recipe = load_recipe(task, settings=["process.kind=sdd"])
    assert (recipe.sample.sampler, recipe.sample.grid) == ("ancestral", "geometric")
    assert getattr(recipe.process, "critical_log_snr") == ("auto" if task == "segment" else None)  # noqa: B009
    assert recipe.sample.steps == load_recipe(task).sample.steps, "other defaults stay"
    assert load_recipe(task, settings=["process.kind=sdd", "sample.grid=uniform"]).sample.grid == "uniform"


def test_what_is_left_open_is_the_default_of_masks_or_images() -> None:
    assert built("masks") == for_masks(2, 16 * 12) and built("masks3") == for_masks(3, 16 * 12)
    assert built("images") == for_images((-0.5, 0.5)) and built("images").objective == KLUB


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("eta", 77.0, "eta"),
        ("shift", 0.11, "shift"),
        ("scale", 0.31, "scale"),
        ("sigmoid_start", 9.0, "start"),
        ("sigmoid_end", -12.0, "end"),
        ("sigmoid_power", 1.5, "power"),
    ],
)
def test_every_number_reaches_the_schedule(kind: str, field: str, value: float, name: str) -> None:
    assert getattr(built(kind, f"process.{field}={value}").schedule, name) == value
    assert getattr(built(kind).schedule, name) != value


@pytest.mark.parametrize("loss", ["klub", "elbo", "hkd", "klub_marginal", "elbo_conditional"])
def test_the_loss_reaches_the_process(loss: str) -> None:
    divergence: Any = loss
    assert built("masks3", f"process.loss={loss}").objective == Divergence(kind=divergence)
    smooth = built("images", f"process.loss={loss}", "process.smoothing=reference")
    assert smooth.objective == Divergence(kind=divergence, smoothing="reference") and smooth.smoothing == "reference"


def test_words_reach_the_process() -> None:
    assert built("images", "process.loss=cross_entropy").objective == "cross_entropy"
    assert built("masks", "process.skip=log_odds").skip == "log_odds" and built("masks").skip == "unit"
    chosen = built("images", "process.smoothing=reference")
    assert chosen == built("images", "process.smoothing=reference", "process.loss=klub"), "auto is klub"


@pytest.mark.parametrize(
    ("kind", "settings", "finding"),
    [
        ("masks", ["process.shift=0.5", "process.scale=0.5"], "shift [+] scale is 1"),
        ("masks3", ["process.shift=0.3", "process.scale=0.5"], "2 shift [+] scale is 1.1"),
        ("images", ["process.shift=0.7"], "is 1.09; it must stay below 1"),
        ("masks", ["process.sigmoid_start=-20"], "the signal must fade"),
        ("masks", ["process.sigmoid_end=-1000"], "concentration falls to 0; below 1e-12"),
        ("images", ["process.sigmoid_end=-100"], "lost in rounding"),
        ("masks", ["process.eta=1e300"], "the floor"),
        ("masks", ["process.eta=-1"], "greater than 0"),
        ("masks", ["process.classes=1"], "two classes or more"),
        ("images", ["process.intensities=[]"], "no intensity to start from"),
        ("images", ["process.intensities=[2.0]"], "process.intensities"),
        ("masks", ["process.smoothing=reference"], "smoothing would do nothing for task segment"),
        ("masks", ["process.intensities=[0.0]"], "intensities would do nothing for task segment"),
        ("images", ["process.skip=log_odds", "process.classes=2"], "skip and process.classes would do nothing"),
        ("masks", ["network={kind: monai}"], "monai is told the noise level as a step of a table, SDD has none"),
        ("images", ["network={kind: diffusers}"], "SDD has none"),
        ("images", ["process.critical_log_snr=auto"], "measured on masks"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(kind: str, settings: list[str], finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        built(kind, *settings)


@pytest.mark.parametrize("steps", [1, 2, 5, 50, 400])
@pytest.mark.parametrize(("kind", "grid"), OWN_GRIDS)
def test_times_fall_and_every_call_is_another(kind: str, grid: str, steps: int) -> None:
    times = torch.tensor(walk(kind, f"sample.grid={grid}", f"sample.steps={steps}").times, dtype=torch.float64)
    assert len(times) == steps + 1 and 0 < times[0] <= 1 and times[-1] == 0
    assert (times.diff() < -1e-6).all()
    ratios = built(kind).schedule.ratio(times[:-1])
    if grid in ("karras", "polyexponential", "log_snr"):
        assert times[0] > 0.999, "nothing is visible where the walk starts"
        assert times[-2] >= 0.0099, "and it ends where a call still tells something"
        assert (ratios.diff() < -1e-6 * ratios[1:]).all()
    if grid == "critical":
        log_snr = -2 * ratios.log()
        assert torch.allclose(log_snr, torch.linspace(log_snr[0], log_snr[-1], steps, dtype=torch.float64), atol=1e-6)
        assert steps == 1 or float(log_snr[-1]) == pytest.approx(0.0)


def test_the_critical_grid_lies_within_reach() -> None:
    """From -8 to 0 asked for; at 16 x 12 pixels nothing lies below -6.7."""
    times = walk("masks", "sample.grid=critical", "sample.steps=3").times
    end = -2 * math.log(float(built("masks").schedule.ratio(torch.ones(1, dtype=torch.float64))))
    assert -6.9 < end < -6 and times[0] == pytest.approx(1.0)
    for start in ("noise", "twin"):
        with pytest.raises(UsageError, match="no noise level lies within"):
            walk("masks", "sample.grid=critical", "process.critical_log_snr=-30", f"sample.start={start}")
    with pytest.raises(UsageError, match="needs a critical log-SNR"):
        walk("images", "sample.grid=critical")


def test_a_warm_start_begins_at_the_critical_level() -> None:
    sampler = walk("masks", "sample.start=twin", "sample.steps=3")
    ratios = built("masks").schedule.ratio(torch.tensor(sampler.times[:-1], dtype=torch.float64))
    assert sampler.warm and (-2 * ratios.log()).tolist() == pytest.approx([-4, -2, 0], abs=1e-6)
    with pytest.raises(UsageError, match="this model has none"):
        walk("images", "sample.start=twin")


def test_grids_of_other_processes_and_samplers_are_refused() -> None:
    for grid in ("trailing", "leading", "linspace"):
        with pytest.raises(UsageError, match="keeps steps of a table"):
            walk("masks", f"sample.grid={grid}")
    for sampler in set(SamplerName.__args__) - {"ancestral", "jump"}:  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match=f"{sampler} is for Gaussian(.|\n)*: ancestral"):
            walk("images", f"sample.sampler={sampler}")
    with pytest.raises(UsageError, match="knows no eta"):
        walk("images", "sample.eta=0.5")
    for process in ("{kind: gaussian}", "{kind: edm, sigma_data: 0.5}"):
        recipe = load_recipe("generate", settings=[f"process={process}", "sample.grid=geometric"])
        with pytest.raises(UsageError, match="geometric grid is for process sdd"):
            build_sampler(recipe.sample, build_process(recipe), critical=None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_the_recipe_walks(kind: str) -> None:
    """K - 1 channels in and out for masks; states are float64, what the network sees float32."""
    task, process = KINDS[kind]
    small = ["network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}", "data.augment=none"]
    recipe = load_recipe(task, settings=[process, *small, "data.size=[16, 12]", "sample.steps=3"])  # type: ignore[arg-type]
    masks = ("background", "a", "b")[: 3 if kind == "masks3" else 2]
    spec = Spec(
        size=(16, 12), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
        mask_classes=masks, readers=1,
    )  # fmt: skip
    network, made = build_network(recipe, spec).eval(), build_process(recipe)
    sampler = build_sampler(recipe.sample, made, critical=critical_log_snr(recipe))
    channels, condition = (len(masks), torch.zeros(2, 1, 16, 12)) if task == "segment" else (1, None)
    like = torch.empty(2, channels, 16, 12)
    with torch.inference_mode():
        given = Condition(image=condition)
        *before, last = sampler(made, Denoiser(made, network), like, given, Noise([1, 2]))
    assert len(before) == 2 and before[0].x.dtype == torch.float64
    assert before[0].x.shape[1] == (channels - 1 if task == "segment" else 1)
    assert last.x.shape == like.shape and last.x.abs().max() <= 1 and last.x.isfinite().all()
