"""Words become objects: every process x network x sampler that a recipe can name makes a finite result."""

import itertools

import pytest
import torch

from sfumato.build import build_network, build_process, build_sampler, critical_log_snr
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.process import Condition, Noise
from sfumato.errors import UsageError
from sfumato.recipe import load_recipe

SPEC = Spec(
    kind="segment",
    size=(16, 16),
    channels=1,
    dtype="uint8",
    intensity=Intensity("unit", 0, 255, "8 bit"),
    classes=("a", "b"),
    mask_classes=("background", "lesion"),
    mask_rule=None,
    readers=1,
)
SMALL = [
    "network.channels=8",
    "network.multipliers=[1, 2]",
    "network.blocks=1",
    "network.attention=[8]",
    "train.steps=1",
    "data.augment=none",
]
PROCESSES = [
    "process={kind: gaussian, schedule: linear, prediction: eps}",
    "process={kind: gaussian, schedule: cosine, prediction: v, timesteps: 100}",
    "process={kind: edm, sigma_data: 0.5}",
    "process={kind: none, prediction: x0}",
]
SAMPLERS = ["ancestral", "ddim", "euler", "heun", "dpmpp_2m", "dpmpp_3m"]


@pytest.mark.parametrize(("process", "sampler"), list(itertools.product(PROCESSES, SAMPLERS)))
def test_every_process_with_every_sampler(process: str, sampler: str) -> None:
    recipe = load_recipe("generate", settings=[*SMALL, process, f"sample.sampler={sampler}", "sample.steps=3"])
    built, network = build_process(recipe), build_network(recipe, SPEC).eval()
    walk = build_sampler(recipe.sample, built, critical=None)
    like, calls = torch.empty(2, 1, 16, 16), 0

    def counted(x, level, condition):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        return network(x, level, condition)

    with torch.inference_mode():
        condition = Condition(label=torch.tensor([0, 2]))
        *_, last = walk(built, Denoiser(built, counted, clip=1.0), like, condition, Noise([1, 2]))
    assert last.t == 0 and last.x.shape == like.shape and last.x.isfinite().all()
    assert calls == walk.calls, "the number of network calls that is promised is the number made"


@pytest.mark.parametrize("kind", ["unet", "diffusers", "monai"])
@pytest.mark.parametrize("task", ["segment", "generate"])
def test_every_network_for_every_task(kind: str, task: str) -> None:
    settings = [f"network={{kind: {kind}}}", "network.channels=32", *SMALL[1:], "process.critical_log_snr=-5"]
    settings += ["process={kind: gaussian, prediction: eps}"] if task == "generate" else []
    recipe = load_recipe(task, settings=settings)  # type: ignore[arg-type]
    network, process = build_network(recipe, SPEC), build_process(recipe)
    state = 2 if task == "segment" else 1
    image = torch.randn(2, 1, 16, 16) if task == "segment" else None
    label = torch.tensor([1, 2]) if task == "generate" else None
    x_t = torch.randn(2, state, 16, 16)
    x, level = process.network_input(x_t, torch.tensor([0.3, 0.9]))
    output = network(x, level, Condition(image=image, label=label))
    assert output.shape == x_t.shape and output.isfinite().all()


def test_a_foreign_network_is_told_steps_and_edm_has_none() -> None:
    with pytest.raises(UsageError, match="kind=gaussian"):
        build_process(load_recipe("generate", settings=["network.kind=monai", "process.sigma_data=0.5"]))
    process = build_process(load_recipe("segment", settings=["network.kind=monai", "process.critical_log_snr=-5"]))
    _, level = process.network_input(torch.zeros(2, 2, 4, 4), torch.tensor([0.001, 1.0]))
    assert level.tolist() == pytest.approx([0, 999], abs=1e-3)


def test_the_seed_decides_the_weights_and_nothing_global_moves() -> None:
    recipe = load_recipe("generate", settings=[*SMALL, "process.sigma_data=0.5"])
    other = load_recipe("generate", settings=[*SMALL, "process.sigma_data=0.5", "train.seed=1"])
    before = torch.get_rng_state()
    one, same, different = (build_network(r, SPEC).state_dict() for r in (recipe, recipe, other))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], different[name]) for name in one)


def test_the_critical_grid_needs_and_uses_its_centre() -> None:
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-6.0", *SMALL])
    process = build_process(recipe)
    sampler = build_sampler(recipe.sample, process, critical=critical_log_snr(recipe))
    ratios = process.schedule.ratio(torch.tensor(sampler.times[:-1], dtype=torch.float64))  # type: ignore[attr-defined]
    assert torch.allclose(-2 * ratios.log(), torch.linspace(-10, -2, 4, dtype=torch.float64))
    with pytest.raises(UsageError, match=r"process\.critical_log_snr=auto"):
        build_sampler(recipe.sample, process, critical=None)
