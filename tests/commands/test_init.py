"""`train --init`: what a run starts from, that nothing is changed at step 0, and that nothing is run or made up."""

import json
import os
import pickle
import shutil
from pathlib import Path

import diffusers
import huggingface_hub
import pytest
import safetensors.torch
import torch

from sfumato.commands import exchange, train
from sfumato.diffusion.process import Condition
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.pretrained import read_donor, resolve_init
from sfumato.experiment.run import Run, load_model
from sfumato.local import recalled
from sfumato.training.weights import write_weights

from .conftest import TINY
from .pipelines import make_unet, save_folder

QUICK = ["validate.cases=2", "sample.steps=2", "train.warmup=0", "checkpoint.every_steps=1000"]
STILL = [*QUICK, "train.learning_rate=1e-30"]
"""A step of nothing: what a run holds after it is what it started from."""


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def steps(count: int, value: float = 3.0) -> torch.Tensor:
    return torch.full((count,), value)


def written(run: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((run / name).read_text())
    return content


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of grey images with labels."""
    import numpy as np
    from PIL import Image

    from sfumato.commands import prepare as preparing

    folder = tmp_path_factory.mktemp("grey")
    generator = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        (folder / "raw" / name).mkdir(parents=True)
        for index in range(12):
            pixels = generator.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "raw" / name / f"{name}{index}.png")
    preparing.prepare(folder / "raw", out=folder / "dataset", size="16")
    return folder / "dataset"


@pytest.fixture(scope="module")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of RGB images without labels."""
    return save_folder(tmp_path_factory.mktemp("rgb") / "pipeline", make_unet())


def test_rgb_without_labels_is_tuned_on_grey_with_labels_and_goes_back(grey: Path, rgb: Path, tmp_path: Path) -> None:
    """The whole way: a few steps of training, a resumed run, an exported pipeline."""
    pipeline, run = shutil.copytree(rgb, tmp_path / "pipeline"), tmp_path / "run"
    words = [*QUICK, "train.learning_rate=1e-3"]
    train.generate(grey, out=run, init=str(pipeline), steps=3, batch=4, set=words)
    shutil.rmtree(pipeline)
    result = train.generate(grey, out=run, init=str(pipeline), steps=6, batch=4, set=words)
    assert result["step"] == 6
    exchange.export(run, to="diffusers", out=tmp_path / "out")
    opened = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out")
    assert (opened.unet.config.in_channels, opened.unet.config.num_class_embeds) == (1, 3)
    assert (opened.scheduler.config.beta_schedule, opened.scheduler.config.beta_end) == ("scaled_linear", 0.015)
    model, x, label = load_model(run), random(3, 1, 16, 16), torch.arange(3)
    with torch.no_grad():
        ours = model.network(x, steps(3), Condition(label=label))
        torch.testing.assert_close(ours, opened.unet(x, 3, class_labels=label).sample, rtol=0, atol=1e-5)
        untuned = make_unet()(x.expand(-1, 3, -1, -1), 3).sample.mean(1, keepdim=True)
    assert (ours - untuned).abs().max() > 1e-3, "it learned nothing"


def test_at_step_0_it_is_the_pipeline_on_grey_images(grey: Path, rgb: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train.generate(grey, out=run, init=str(rgb), steps=1, batch=4, set=[*STILL, "train.ema_ramp=null"])
    model, x = load_model(run), random(3, 1, 16, 16)  # without a ramp the average is what it started from
    with torch.no_grad():
        expected = make_unet()(x.expand(-1, 3, -1, -1), 3).sample.mean(1, keepdim=True)
        for label in (torch.arange(3), None):
            ours = model.network(x, steps(3), Condition(label=label))
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_what_was_done_is_written_down(grey: Path, rgb: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train.generate(grey, out=run, init=str(rgb), steps=1, batch=4, set=QUICK)
    record = written(run, "init.json")
    assert recalled(record["model"], run) == rgb and record["new"] == {
        "count": 1,
        "first": ["network.class_embedding.weight"],
    }
    adapted = ["network.conv_in.weight", "network.conv_out.weight", "network.conv_out.bias"]
    assert record["adapted"] == {"count": 3, "first": adapted} and record["unused"] == {"count": 0, "first": []}
    assert written(run, "provenance.json")["init"] == {"path": record["model"], "sha256": record["sha256"]}
    plan = {choice["choice"]: choice for choice in json.loads((run / "plan.json").read_text())}
    assert plan["train.learning_rate"]["value"] == 3e-5 and "1/10" in plan["train.learning_rate"]["reason"]
    recipe = load_model(run).recipe.model_dump()
    assert recipe["network"]["config"]["flip_sin_to_cos"] is False and recipe["train"]["learning_rate"] == 3e-5
    assert (recipe["process"]["prediction"], recipe["process"]["betas"]) == ("eps", (0.0002, 0.015))


def test_the_persons_words_are_stronger(grey: Path, rgb: Path, tmp_path: Path) -> None:
    words = [*STILL, "process.prediction=v", "network.config.dropout=0.1"]
    train.generate(grey, out=tmp_path / "run", init=str(rgb), steps=1, batch=4, set=words)
    model = load_model(tmp_path / "run")
    assert model.recipe.process.prediction == "v" and model.network.network.config.dropout == 0.1  # type: ignore
    assert "train.learning_rate" not in (tmp_path / "run" / "plan.json").read_text()


def test_a_run_goes_on_with_what_it_was_started_from(grey: Path, rgb: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train.generate(grey, out=run, init=str(rgb), steps=1, batch=4, set=STILL)
    for other in (None, str(tmp_path / "elsewhere")):
        with pytest.raises(UsageError, match="was started from"):
            train.generate(grey, out=run, init=other, steps=1, batch=4, set=STILL)
    plain = tmp_path / "plain"
    train.generate(grey, out=plain, steps=1, batch=4, set=[*STILL, *TINY])
    with pytest.raises(UsageError, match="without --init"):
        train.generate(grey, out=plain, init=str(rgb), steps=1, batch=4, set=[*STILL, *TINY])


def test_a_model_that_changed_before_the_first_checkpoint_is_noticed(grey: Path, rgb: Path, tmp_path: Path) -> None:
    """A run that was killed before it saved reads its start again, and only if it is still the same."""
    pipeline, run = shutil.copytree(rgb, tmp_path / "pipeline"), tmp_path / "run"
    train.generate(grey, out=run, init=str(pipeline), steps=1, batch=4, set=STILL)
    before = load_model(run).network.state_dict()
    shutil.rmtree(run / "checkpoints")
    train.resume(run)
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_model(run).network.state_dict().items())
    shutil.rmtree(run / "checkpoints")
    save_folder(pipeline, make_unet(dropout=0.5, sample_size=8).apply(lambda module: module.to(torch.float64)))
    with pytest.raises(ModelError, match="has changed since"):
        train.resume(run)


def test_a_generator_becomes_a_network_of_masks(dataset: Path, rgb: Path, tmp_path: Path) -> None:
    train.segment(dataset, out=tmp_path / "run", init=str(rgb), steps=2, batch=4, set=QUICK)
    model = load_model(tmp_path / "run")
    process = model.recipe.process.model_dump()
    assert (process["schedule"], process["betas"], process["prediction"]) == (
        "scaled_linear", (0.0002, 0.015), "logits",
    )  # fmt: skip
    record = written(tmp_path / "run", "init.json")
    assert record["adapted"] == {"count": 1, "first": ["network.conv_in.weight"]}


def test_a_gentle_rate_is_a_tenth_of_what_the_network_usually_has(
    generate_run: Path, rgb: Path, tmp_path: Path
) -> None:
    for donor, rate in ((generate_run, 1e-4), (rgb, 3e-5)):
        recipe, _ = resolve_init(str(donor), "generate", Run(tmp_path / "run"), file=None, settings=[])
        assert recipe.train.learning_rate == rate


def test_our_own_run_is_tuned_on_other_classes(generate_run: Path, grey: Path, tmp_path: Path) -> None:
    """Its network and process come along; the averaged weights are the start, and the average starts there too."""
    train.generate(grey, out=tmp_path / "run", init=str(generate_run), steps=1, batch=4, set=STILL)
    old, new = load_model(generate_run), load_model(tmp_path / "run")
    assert new.recipe.network == old.recipe.network and new.recipe.process == old.recipe.process
    x, level = random(2, 1, 16, 16), torch.tensor([-0.5, 0.3])
    with torch.no_grad():
        wide = x.expand(-1, old.spec.channels, -1, -1)
        expected = old.network(wide, level, Condition()).mean(1, keepdim=True)
        torch.testing.assert_close(new.network(x, level, Condition()), expected, rtol=0, atol=1e-5)


def test_bare_tensors_need_the_recipe_they_were_trained_with(dataset: Path, generate_run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    write_weights(bare, load_model(generate_run).network.state_dict(), {})
    train.generate(dataset, out=tmp_path / "run", init=str(bare), steps=1, batch=4, set=[*STILL, *TINY])
    new, old = (load_model(path).network.state_dict() for path in (tmp_path / "run", generate_run))
    for name, tensor in old.items():
        torch.testing.assert_close(new[name], tensor, rtol=0, atol=1e-12)
    safetensors.torch.save_file({"x": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not one of its 1 tensors fits"):
        train.generate(
            dataset, out=tmp_path / "other", init=str(tmp_path / "other.safetensors"), steps=1, batch=4, set=STILL
        )
    assert not (tmp_path / "other" / "checkpoints").exists()


def test_a_dry_run_tells_what_is_taken_over(grey: Path, rgb: Path, tmp_path: Path) -> None:
    result = train.generate(grey, out=tmp_path / "run", init=str(rgb), dry_run=True)
    assert {"network.kind", "process.kind", "train.learning_rate"} <= {choice["choice"] for choice in result["plan"]}
    assert not (tmp_path / "run").exists()


def test_a_model_on_the_hub_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--owner--ddpm"
    save_folder(cached / "snapshots" / ("0" * 40), make_unet(), beside=True, pickled=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    donor = read_donor("owner/ddpm")
    assert donor.name == "owner/ddpm" and len(donor.tensors) == len(make_unet().state_dict())
    with pytest.raises(ModelError, match="cannot be had from the Hugging Face hub"):
        read_donor("owner/another")


class Malice:
    """What a pickle may do when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".pkl", ".bin", ".safetensors"])
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_is_refused_with_the_way_out(tmp_path: Path, suffix: str, *, archive: bool) -> None:
    file, marker = tmp_path / f"model{suffix}", tmp_path / "marker"
    content = {"x": Malice(marker)}
    torch.save(content, file) if archive else file.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match="pickle") as caught:
        read_donor(str(file))
    assert not marker.exists() and "weights_only=True" in caught.value.remedy


@pytest.mark.parametrize("archive", [True, False])
def test_a_bin_with_anything_but_tensors_is_refused(rgb: Path, tmp_path: Path, *, archive: bool) -> None:
    pipeline, marker = shutil.copytree(rgb, tmp_path / "it"), tmp_path / "marker"
    (pipeline / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    file = pipeline / "unet" / "diffusion_pytorch_model.bin"
    for content in ({"x": Malice(marker)}, {"x": 1}):
        torch.save(content, file) if archive else file.write_bytes(pickle.dumps(content))
        with pytest.raises(ModelError, match="cannot be read as bare weights"):
            read_donor(str(pipeline))
    assert not marker.exists()


def test_folders_that_are_more_or_less_than_a_network_are_refused(rgb: Path, tmp_path: Path) -> None:
    latent = shutil.copytree(rgb, tmp_path / "latent")
    index = written(latent, "model_index.json")
    (latent / "model_index.json").write_text(json.dumps({**index, "vqvae": ["diffusers", "VQModel"]}))
    with pytest.raises(ModelError, match="what vqvae makes"):
        read_donor(str(latent))
    cut = shutil.copytree(rgb, tmp_path / "cut")
    weights = cut / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({name: tensors[name] for name in list(tensors)[3:]}, weights)
    with pytest.raises(ModelError, match="weights are of another network"):
        read_donor(str(cut))
    weights.unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        read_donor(str(cut))
    with pytest.raises(ModelError, match="is no model"):
        read_donor(str(tmp_path))


def test_without_a_scheduler_the_person_says_how_it_was_trained(grey: Path, rgb: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(rgb / "unet", tmp_path / "unet")
    with pytest.raises(ModelError, match="nobody says how"):
        train.generate(grey, out=tmp_path / "run", init=str(bare), steps=1, batch=4, set=STILL)
    words = [*STILL, "process={kind: gaussian, schedule: linear}"]
    train.generate(grey, out=tmp_path / "run", init=str(bare), steps=1, batch=4, set=words)
    assert load_model(tmp_path / "run").recipe.process.model_dump()["schedule"] == "linear"
