"""Words become objects: every process x network x sampler that a recipe can name makes a finite result."""

import itertools

import pytest
import torch

from sfumato.builder.network import build_network
from sfumato.builder.process import BELOW_CRITICAL, build_process, critical_log_snr
from sfumato.builder.sampling import WARM_WIDTH, build_sampler
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM
from sfumato.diffusion.level.training_noise import ShiftedCosine
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.catalogue import SAMPLERS as CATALOGUE
from sfumato.diffusion.sampler.singlestep import Churn
from sfumato.errors import UsageError
from sfumato.randomness import Noise
from sfumato.recipe import TaskKind, load_recipe

SPEC = Spec(
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
    "process={kind: gaussian, schedule: sigmoid, prediction: v, zero_terminal_snr: true, reference_side: 8}",
    "process={kind: gaussian, prediction: eps, variance: learned}",
    "process={kind: vp}",
    "process={kind: ve}",
    "process={kind: edm, sigma_data: 0.5}",
    "process={kind: none, prediction: x0}",
]
SAMPLERS = [name for name, entry in CATALOGUE.items() if entry.suits(Gaussian(schedule=EDM(), prediction="x0"))]


@pytest.mark.parametrize(("process", "sampler"), list(itertools.product(PROCESSES, SAMPLERS)))
def test_every_process_with_every_sampler(process: str, sampler: str) -> None:
    settings = [*SMALL, process, f"sample.sampler={sampler}", "sample.steps=3", "data.size=[16, 16]"]
    recipe = load_recipe("generate", settings=settings)
    built, network = build_process(recipe), build_network(recipe, SPEC).eval()
    walk = build_sampler(recipe.sample, built, critical=None)
    built = CATALOGUE[sampler].sampled_process(built)
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


def test_classes_are_drawn_on_the_critical_grid() -> None:
    settings = ["process={kind: categorical, critical_log_snr: -6.0, loss: posterior_kl}", *SMALL]
    recipe = load_recipe("segment", settings=settings)
    process = build_process(recipe)
    assert isinstance(process, Categorical) and process.objective == "posterior_kl"
    assert process.training == ShiftedCosine(-6.0 - BELOW_CRITICAL)
    for start, centre in (("noise", -6.0), ("twin", -6.0 + WARM_WIDTH / 2)):
        sample = recipe.sample.model_copy(update={"start": start})
        sampler = build_sampler(sample, process, critical=critical_log_snr(recipe))
        log_snr = -2 * process.schedule.ratio(torch.tensor(sampler.times[:-1], dtype=torch.float64)).log()
        assert sampler.name == "ancestral" and float(log_snr.mean()) == pytest.approx(centre)
    with pytest.raises(UsageError, match="ddim is for Gaussian processes"):
        build_sampler(recipe.sample.model_copy(update={"sampler": "ddim"}), process, critical=-6.0)


def ratios(process: str, *settings: str) -> list[float]:
    """The noise-to-signal ratios on which a generator walks."""
    recipe = load_recipe("generate", settings=[*SMALL, f"process={process}", "data.size=[32, 16]", *settings])
    built = build_process(recipe)
    times = build_sampler(recipe.sample, built, critical=None).times[:-1]
    schedule = getattr(built, "schedule")  # noqa: B009
    return schedule.ratio(torch.tensor(times, dtype=torch.float64)).tolist()


def test_vp_and_ve_are_sampled_where_they_were_trained() -> None:
    assert [ratios("{kind: ve}")[i] for i in (0, -1)] == pytest.approx([100, 0.02])
    assert [ratios("{kind: ve, sigma_max: 50.0}")[i] for i in (0, -1)] == pytest.approx([50, 0.02])
    assert [ratios("{kind: vp}")[i] for i in (0, -1)] == pytest.approx([80, 0.002])


@pytest.mark.parametrize("grid", ["trailing", "leading", "linspace"])
def test_grids_of_a_table(grid: str) -> None:
    settings = (f"sample.grid={grid}", "sample.steps=5", "sample.sampler=ddim")
    assert len(ratios("{kind: gaussian, variance: learned}", *settings)) == 5
    with pytest.raises(UsageError, match=f"the {grid} grid keeps steps of a table"):
        ratios("{kind: edm, sigma_data: 0.5}", *settings)
    with pytest.raises(UsageError, match="5 steps on a table of 4"):
        ratios("{kind: gaussian, timesteps: 4}", *settings)


def test_larger_images_get_more_noise() -> None:
    plain = ratios("{kind: gaussian, prediction: v}", "sample.grid=uniform")
    twice = ratios("{kind: gaussian, prediction: v, reference_side: 16}", "sample.grid=uniform")
    assert twice == pytest.approx([2 * ratio for ratio in plain])


def test_a_flow_of_larger_images_is_noisier_in_training_and_sampling() -> None:
    """Every ratio of noise to signal is as many times as large as the side (Esser et al. 2024, equation 23)."""
    usual, large = (
        build_process(load_recipe("generate", settings=["process.kind=flow", *settings]))
        for settings in ((), ("process.reference_side=16", "data.size=[64, 64]"))
    )
    assert isinstance(usual, Gaussian) and isinstance(large, Gaussian)
    u = torch.tensor([0.2, 0.5, 0.9])
    ratios = [process.schedule.ratio(process.times(u).double()) for process in (usual, large)]
    torch.testing.assert_close(ratios[1], 4 * ratios[0], rtol=1e-5, atol=0)
    assert float(ratios[0][1].log()) == pytest.approx(-0.4, abs=1e-5)
    words = ["sample.grid=uniform", "sample.steps=2", "sample.sampler=ddim"]
    middle = build_sampler(load_recipe("generate", settings=words).sample, large, critical=None).times[1]
    assert large.coefficients(middle)[1] == pytest.approx(4 / 5)


def test_a_flow_says_of_times_one_thing_alone() -> None:
    with pytest.raises(UsageError, match="logit_std would do nothing"):
        load_recipe("segment", settings=["process.kind=flow", "process.logit_std=0.5"])
    with pytest.raises(UsageError, match="critical_log_snr decides the times"):
        load_recipe("generate", settings=["process.kind=flow", "process.critical_log_snr=-3"])


def test_only_some_samplers_start_from_pure_noise() -> None:
    process = "{kind: gaussian, prediction: x0, zero_terminal_snr: true}"
    assert ratios(process, "sample.grid=uniform", "sample.sampler=ddim")[0] == float("inf")
    assert ratios(process)[0] == pytest.approx(80)
    with pytest.raises(UsageError, match="no signal is left"):
        ratios(process, "sample.grid=trailing", "sample.sampler=heun")


@pytest.mark.parametrize(
    ("task", "settings", "finding"),
    [
        ("generate", ["process={kind: gaussian, zero_terminal_snr: true}"], "predict v or x0"),
        ("generate", ["process={kind: gaussian, prediction: logits, min_snr: 5.0}"], "cross-entropy"),
        ("generate", ["process={kind: gaussian, prediction: logits, variance: learned}"], "cross-entropy"),
        ("generate", ["process={kind: ve, sigma_min: 3.0, sigma_max: 2.0}"], "must lie below"),
        ("generate", ["process={kind: ve}", "network.kind=monai"], "VE has none"),
        ("segment", ["process={kind: gaussian, prediction: eps, variance: learned}"], "for generators"),
        ("segment", ["process.reference_side=64"], "leave reference_side out"),
        ("generate", ["process.kind=categorical"], "for masks"),
        ("generate", ["process.critical_log_snr=auto"], "measured on masks"),
        ("segment", ["process.kind=categorical", "network.kind=monai"], "a step of a table"),
    ],
)
def test_what_does_not_go_together_is_refused(task: TaskKind, settings: list[str], finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        build_process(load_recipe(task, settings=settings))


def test_uncertainty_is_kept_beside_the_network() -> None:
    recipe = load_recipe("generate", settings=[*SMALL, "process.sigma_data=0.5", "loss.uncertainty=true"])
    plain = load_recipe("generate", settings=[*SMALL, "process.sigma_data=0.5"])
    names = set(build_network(recipe, SPEC).state_dict())
    inside = {f"network.{name}" for name in build_network(plain, SPEC).state_dict()}
    assert names - inside == {"uncertainty.weight", "uncertainty.bias"} and inside < names


@pytest.mark.parametrize(("task", "kind"), [("segment", "unet"), ("generate", "monai")])
def test_uncertainty_is_for_our_generators(task: TaskKind, kind: str) -> None:
    network = f"network={{kind: {kind}, channels: 32, multipliers: [1, 2], blocks: 1}}"
    process = "process={kind: vp}"
    recipe = load_recipe(task, settings=[network, process, "loss.uncertainty=true", "data.augment=none"])
    with pytest.raises(UsageError, match="our network"):
        build_network(recipe, SPEC)


def test_a_sampler_is_told_its_settings_and_refuses_others() -> None:
    def built(*settings: str):  # type: ignore[no-untyped-def]
        recipe = load_recipe("generate", settings=[*SMALL, "process.sigma_data=0.5", *settings])
        return build_sampler(recipe.sample, build_process(recipe), critical=None)

    heun = built(
        "sample.sampler=heun", "sample.alpha=0.5", "sample.churn={amount: 40, low: 0.05}", "sample.path.scaling=vp"
    )
    churn = Churn(amount=40.0, low=0.05)
    assert heun.options == {"alpha": 0.5, "churn": churn, "schedule": "linear", "scaling": "vp"}
    assert built("sample.sampler=dpmpp_sde", "sample.eta=0").options == {"eta": 0.0}
    assert built("sample.sampler=heun").options == {}
    with pytest.raises(UsageError, match="dpm_fast knows no churn, eta") as refused:
        built("sample.sampler=dpm_fast", "sample.eta=1", "sample.churn.amount=3")
    assert "none that knows all" in str(refused.value)
    with pytest.raises(UsageError, match="euler knows no eta") as refused:
        built("sample.sampler=euler", "sample.eta=1")
    assert "ddim" in str(refused.value) and "heun" not in str(refused.value)
    with pytest.raises(UsageError, match="two steps"):
        built("sample.sampler=heun", "sample.path.schedule=vp", "sample.steps=1")
    with pytest.raises(UsageError, match="without an amount"):
        built("sample.sampler=heun", "sample.churn.low=1")
