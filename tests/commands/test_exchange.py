"""Models from diffusers and to diffusers: the same numbers on both sides."""

from pathlib import Path

import diffusers
import pytest
import safetensors.torch
import torch

from sfumato.commands import exchange, train
from sfumato.diffusion.process import Condition
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.inference import steps_from
from sfumato.experiment.run import load_model
from sfumato.randomness import Noise
from sfumato.recipe import GaussianProcess
from sfumato.recipe.scheduler import process_words, scheduler_words

from .conftest import TINY
from .pipelines import edit, make_unet, save_folder


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_an_imported_model_computes_the_same(tmp_path: Path, *, beside: bool, pickled: bool, old: bool) -> None:
    unet = make_unet()
    folder = save_folder(tmp_path / "it", unet, beside=beside, pickled=pickled, old=old)
    result = exchange.import_(str(folder), out=tmp_path / "model.safetensors")
    model = load_model(result["model"])
    assert model.spec.size == (16, 16) and model.spec.channels == 3 and model.spec.classes == ()
    process = model.recipe.process
    assert isinstance(process, GaussianProcess)
    assert (process.schedule, process.betas, process.variance) == ("scaled_linear", (0.0002, 0.015), "large")
    x = random(2, 3, 16, 16)
    with torch.no_grad():
        expected = unet(x, 500).sample
        torch.testing.assert_close(model.network(x, torch.full((2,), 500.0), Condition()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_ddim_of_an_imported_model_is_that_of_diffusers(tmp_path: Path, prediction: str) -> None:
    unet = make_unet()
    zero = prediction != "epsilon"
    folder = save_folder(tmp_path / "it", unet, prediction_type=prediction, rescale_betas_zero_snr=zero)
    exchange.import_(str(folder), out=tmp_path / "model.safetensors")
    model, x = load_model(tmp_path / "model.safetensors"), random(2, 3, 16, 16)
    sampler = model.sampler(sampler="ddim", steps=8, grid="trailing" if zero else "leading")
    *_, last = steps_from(model, sampler, x, [None, None], Noise([0, 1], "cpu"))
    theirs = diffusers.DDIMScheduler.from_pretrained(
        folder / "scheduler", timestep_spacing="trailing" if zero else "leading"
    )
    theirs.set_timesteps(8)
    for step in theirs.timesteps:
        with torch.no_grad():
            x = theirs.step(unet(x, step).sample, step, x, use_clipped_model_output=True).prev_sample
    torch.testing.assert_close(last.x, x, rtol=0, atol=2e-4)


def test_the_names_of_classes_are_given_or_numbers(tmp_path: Path) -> None:
    unet = make_unet(num_class_embeds=3)
    folder = save_folder(tmp_path / "it", unet)
    numbered = load_model(exchange.import_(str(folder), out=tmp_path / "a.safetensors")["model"])
    named = load_model(exchange.import_(str(folder), out=tmp_path / "b.safetensors", classes="x,y")["model"])
    assert numbered.spec.classes == ("0", "1", "2") and named.spec.classes == ("x", "y")
    x, level = random(3, 3, 16, 16), torch.full((3,), 10.0)
    with torch.no_grad():
        expected = unet(x, 10, class_labels=torch.arange(3)).sample
        for model in (numbered, named):
            ours = model.network(x, level, Condition(label=torch.arange(3)))
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    with pytest.raises(UsageError, match="knows 3 classes"):
        exchange.import_(str(folder), out=tmp_path / "c.safetensors", classes="x")


def test_a_size_that_nobody_says_is_asked_for(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "it", make_unet(sample_size=None))
    with pytest.raises(UsageError, match="how large"):
        exchange.import_(str(folder), out=tmp_path / "a.safetensors")
    model = load_model(exchange.import_(str(folder), out=tmp_path / "a.safetensors", size="8x12")["model"])
    assert model.spec.size == (8, 12)
    with pytest.raises(UsageError, match="there already"):
        exchange.import_(str(folder), out=tmp_path / "a.safetensors", size="8x12")


def test_what_is_no_generator_of_diffusers_is_not_imported(generate_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no generator of diffusers"):
        exchange.import_(str(generate_run), out=tmp_path / "a.safetensors")
    bare = save_folder(tmp_path / "it", make_unet(), beside=True)
    (bare / "scheduler_config.json").unlink()
    with pytest.raises(ModelError, match="nobody says"):
        exchange.import_(str(bare), out=tmp_path / "a.safetensors")


def test_an_imported_model_goes_back_to_the_same_pipeline(tmp_path: Path) -> None:
    unet = make_unet()
    folder = save_folder(tmp_path / "it", unet, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    exchange.import_(str(folder), out=tmp_path / "model.safetensors")
    exchange.export(tmp_path / "model.safetensors", to="diffusers", out=tmp_path / "back")
    theirs, ours = (diffusers.DDPMPipeline.from_pretrained(path) for path in (folder, tmp_path / "back"))
    assert dict(ours.scheduler.config) == dict(theirs.scheduler.config)
    torch.testing.assert_close(ours.scheduler.betas, theirs.scheduler.betas, rtol=0, atol=0)
    settings = {name: value for name, value in theirs.unet.config.items() if not name.startswith("_")}
    assert {name: ours.unet.config[name] for name in settings} == settings
    x = random(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours.unet(x, 7).sample, unet(x, 7).sample, rtol=0, atol=1e-5)
    assert len(diffusers.DiffusionPipeline.from_pretrained(tmp_path / "back")(num_inference_steps=2).images) == 1


def test_our_own_diffusers_network_is_exported(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["network={kind: diffusers, channels: 8, multipliers: [1, 2], blocks: 1}", "process.kind=gaussian", TINY[1]]
    train.generate(dataset, out=run, steps=2, batch=4, set=[*words, "sample.steps=2"])
    result = exchange.export(run, to="diffusers", out=tmp_path / "out")
    unet = diffusers.UNet2DModel.from_pretrained(tmp_path / "out" / "unet")
    assert unet.config.sample_size == 16
    model, x = load_model(run), random(2, 3, 16, 16)
    label = torch.tensor([0, len(result["classes"])])
    with torch.no_grad():
        ours = model.network(x, torch.full((2,), 3.0), Condition(label=label))
        torch.testing.assert_close(ours, unet(x, 3, class_labels=label).sample, rtol=0, atol=1e-5)
    scheduler = diffusers.DDPMScheduler.from_pretrained(tmp_path / "out" / "scheduler")
    assert scheduler.config.beta_schedule == "squaredcos_cap_v2" and scheduler.config.prediction_type == "epsilon"


def test_what_diffusers_cannot_hold_is_said(generate_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pipeline of diffusers can hold"):
        exchange.export(generate_run, to="diffusers", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_safetensors_hold_any_model(generate_run: Path, tmp_path: Path) -> None:
    exchange.export(generate_run, to="safetensors", out=tmp_path / "model.safetensors")
    ours, theirs = load_model(tmp_path / "model.safetensors"), load_model(generate_run)
    assert ours.recipe == theirs.recipe and ours.spec == theirs.spec
    for name, tensor in theirs.network.state_dict().items():
        assert torch.equal(ours.network.state_dict()[name], tensor)
    assert safetensors.torch.load_file(tmp_path / "model.safetensors").keys() == theirs.network.state_dict().keys()


@pytest.mark.parametrize(
    "settings",
    [
        {"beta_schedule": "linear", "beta_start": 0.0003, "beta_end": 0.03, "num_train_timesteps": 50},
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "variance_type": "fixed_large"},
        {"beta_schedule": "sigmoid", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {"trained_betas": [0.1, 0.2, 0.4], "num_train_timesteps": 3, "variance_type": "learned_range"},
    ],
)
def test_schedulers_there_and_back(settings: dict[str, object]) -> None:
    """The table of the process is that of diffusers, and its words are the settings again."""
    from sfumato.builder.process import build_process
    from sfumato.recipe import load_recipe

    theirs = diffusers.DDPMScheduler(**settings)
    words, notes = process_words(dict(theirs.config), source="it")
    recipe = load_recipe("generate", beneath={"process": words})
    process = build_process(recipe)
    table = process.schedule.betas  # type: ignore[attr-defined]
    torch.testing.assert_close(table.float(), theirs.betas, rtol=2e-4, atol=1e-6)
    assert not notes and isinstance(recipe.process, GaussianProcess)
    back = diffusers.DDPMScheduler(**scheduler_words(recipe.process, table=table.tolist()))
    torch.testing.assert_close(back.betas, theirs.betas, rtol=0, atol=1e-7)
    for name in ("prediction_type", "variance_type", "rescale_betas_zero_snr"):
        assert back.config[name] == theirs.config[name], name


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"beta_schedule": "laplace"}, "beta_schedule laplace"),
        ({"prediction_type": "flow"}, "prediction_type flow"),
        ({"variance_type": "learned"}, "variance_type learned"),
        ({"beta_start": None, "beta_end": None}, "has no beta_start, beta_end"),
    ],
)
def test_a_scheduler_that_is_not_ours_is_refused(tmp_path: Path, changes: dict[str, object], finding: str) -> None:
    folder = save_folder(tmp_path / "it", make_unet())
    edit(folder / "scheduler" / "scheduler_config.json", **changes)
    with pytest.raises(ModelError, match=finding):
        exchange.import_(str(folder), out=tmp_path / "a.safetensors")


def test_what_old_schedulers_did_not_say_and_what_is_done_otherwise() -> None:
    old = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 1000}
    assert process_words({**old, "predict_epsilon": False}, source="it").process["prediction"] == "x0"
    assert process_words(old, source="it").process["prediction"] == "eps"
    assert process_words({**old, "thresholding": True}, source="it").notes
    assert process_words({**old, "clip_sample": False}, source="it").notes
