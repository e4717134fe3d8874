"""Recipes: laid on one another, checked, and understood by a person when wrong. Plans: every auto gets a number."""

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import yaml
from PIL import Image

from sfumato.errors import UsageError
from sfumato.recipe import GaussianProcess, Recipe, SSNProcess, TaskKind, load_recipe, merge, parse_recipe


def test_file_over_defaults_settings_over_both(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("train: {batch: 4, images: 20k}\nnetwork: {channels: 8}\n")
    recipe = load_recipe("segment", file, settings=["train.batch=6", "data.size=[32, 48]"])
    assert (recipe.train.batch, recipe.train.images, recipe.data.size) == (6, 20_000, (32, 48))
    assert recipe.network.channels == 8 and recipe.network.blocks == "auto"
    assert recipe.loss.dice == 1.0, "the default of segment"


def test_another_kind_replaces_its_section_whole() -> None:
    recipe = load_recipe("segment", settings=["process={kind: none}"])
    assert recipe.process.kind == "none" and not isinstance(recipe.process, GaussianProcess)
    assert merge({"a": {"kind": "x", "p": 1}}, {"a": {"q": 2}}) == {"a": {"kind": "x", "p": 1, "q": 2}}
    assert merge({"a": {"kind": "x", "p": 1}}, {"a": {"kind": "y"}}) == {"a": {"kind": "y"}}


def test_a_process_brings_the_sampler_that_suits_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("process: {kind: categorical}\nsample: {steps: 7}\n")
    sample = load_recipe("segment", file).sample
    assert (sample.sampler, sample.steps, sample.grid) == ("ancestral", 7, "critical")
    assert load_recipe("segment", file, settings=["sample.sampler=ddim"]).sample.sampler == "ddim"
    assert load_recipe("segment", file, settings=["process={kind: none}"]).sample.sampler == "ddim"


def test_a_network_brings_the_learning_rate_that_suits_it() -> None:
    def rate(task: TaskKind, *settings: str) -> float | Literal["auto"]:
        return load_recipe(task, settings=settings).train.learning_rate

    assert rate("generate") == 1e-3 and rate("segment") == "auto"
    assert rate("segment", "network.kind=unet") == 3e-4 and rate("segment", "network.kind=amortised") == 1e-3
    assert rate("generate", "network={kind: dit}") == rate("generate", "process={kind: sdd}") == 3e-4
    assert rate("generate", "train.learning_rate=2e-4") == 2e-4


@pytest.mark.parametrize("task", ["segment", "generate"])
def test_a_recipe_survives_its_own_yaml(task: str) -> None:
    recipe = load_recipe(task, settings=["train.steps=10"])  # type: ignore[arg-type]
    assert parse_recipe(yaml.safe_load(recipe.to_yaml()), origin="itself") == recipe


@pytest.mark.parametrize(("text", "count"), [("20k", 20_000), ("1.5M", 1_500_000), ("7", 7)])
def test_counts_take_suffixes(text: str, count: int) -> None:
    assert load_recipe("generate", settings=[f"train.images={text}"]).train.images == count


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(UsageError) as told:
        load_recipe("generate", settings=["train.bach=3", "train.clip=0", "sample.sampler=ddmi"])
    text = str(told.value)
    assert "3 mistakes" in text and "did you mean batch" in text and "train.clip" in text and "'ddim'" in text


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    for content in ("a: [", "- 1", ""):
        (tmp_path / "r.yaml").write_text(content)
        with pytest.raises(UsageError, match=r"r\.yaml"):
            load_recipe("segment", tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_text("x" * 1_000_001)
    with pytest.raises(UsageError, match="1 MB"):
        load_recipe("segment", tmp_path / "r.yaml")
    with pytest.raises(UsageError, match="No such file"):
        load_recipe("segment", tmp_path / "missing.yaml")


def test_recipes_are_immutable() -> None:
    recipe = load_recipe("segment")
    with pytest.raises(Exception, match="frozen"):
        recipe.train.batch = 3  # type: ignore[misc]
    assert isinstance(recipe, Recipe)


@pytest.mark.parametrize(
    ("seen", "settings", "kind"),
    [
        ((128, 128), [], "unet"),
        ((64, 129), [], "amortised"),
        ((8, 8, 8), [], "amortised"),
        ((256, 256), ["network.attention=[16]"], "unet"),
        ((256, 256), ["train.self_condition=0.5"], "unet"),
        ((256, 256), ["network.kind=unet"], "unet"),
    ],
)
def test_large_images_and_volumes_are_seen_once(seen: tuple[int, ...], settings: list[str], kind: str) -> None:
    from sfumato.experiment.plan import with_network

    recipe, choices = with_network(load_recipe("segment", settings=settings), seen)
    assert recipe.network.kind == kind
    assert [choice.choice for choice in choices] == (["network.kind"] if kind == "amortised" else [])
    usual = {"unet": 3e-4, "amortised": 1e-3}[kind]
    assert recipe.train.learning_rate == usual


@pytest.mark.parametrize(("silent", "weight"), [(0, 1.0), (1, 1.0), (10, 0.0)])
def test_soft_dice_is_left_out_where_readers_differ_on_whether_there_is_anything(
    tmp_path: Path, silent: int, weight: float
) -> None:
    """One of two readers found nothing in so many of ten images."""
    from sfumato.commands import prepare as preparing
    from sfumato.commands import toy as toys
    from sfumato.data.dataset import Dataset
    from sfumato.experiment.plan import plan_training

    toys.toy(tmp_path / "toy", cases=10, size=16, readers=2)
    for file in sorted((tmp_path / "toy" / "masks" / "reader_1").iterdir())[:silent]:
        Image.new("L", (16, 16)).save(file)
    preparing.prepare(tmp_path / "toy", out=tmp_path / "dataset", size="16")
    dataset = Dataset.open(tmp_path / "dataset")
    recipe, choices = plan_training(load_recipe("segment"), dataset, device="cpu")
    told = [choice.reason for choice in choices if choice.choice == "loss.dice"]
    assert recipe.loss.dice == weight and len(told) == (weight == 0)
    given, _ = plan_training(load_recipe("segment", settings=["loss.dice=0.5"]), dataset, device="cpu")
    assert given.loss.dice == 0.5


def test_the_plan_measures_what_is_auto(tmp_path: Path) -> None:
    from sfumato.commands import prepare as preparing
    from sfumato.commands import toy as toys
    from sfumato.data.dataset import Dataset
    from sfumato.experiment.plan import plan_training

    toys.toy(tmp_path / "toy", cases=12, size=32, classes=2, readers=3)
    preparing.prepare(tmp_path / "toy", out=tmp_path / "dataset", size="24")
    dataset = Dataset.open(tmp_path / "dataset")
    rows = dataset.rows("train")
    recipe, choices = plan_training(load_recipe("segment"), dataset, device="cpu")
    masks = [dataset.masks(rows, [reader] * len(rows)).numpy() for reader in range(3)]
    differing = [(masks[i] != masks[j]).sum((1, 2)) for i in range(3) for j in range(i)]
    typical = np.median([d for d in np.concatenate(differing) if d > 0])
    assert isinstance(recipe.process, GaussianProcess)
    assert recipe.process.critical_log_snr == round(-math.log(2 * typical), 2)
    once, _ = plan_training(load_recipe("segment", settings=["network.kind=amortised"]), dataset, device="cpu")
    assert once.network.stride == 2  # type: ignore[union-attr]
    seen = [mask[:, 1::2, 1::2] for mask in masks]
    differing = [(seen[i] != seen[j]).sum((1, 2)) for i in range(3) for j in range(i)]
    typical = np.median([d for d in np.concatenate(differing) if d > 0])
    assert once.process.critical_log_snr == round(-math.log(2 * typical), 2), "of blocks, where they are the state"  # type: ignore[union-attr]
    assert recipe.train.minutes == 30 and recipe.data.size == (24, 24) and recipe.network.channels == 32
    assert all(choice.reason for choice in choices)
    assert recipe.train.batch == 8 and recipe.data.modality == "photo" and recipe.data.intensity == "unit"
    assert recipe.data.augment == load_recipe(
        "segment", settings=["data.augment={mirror: 0.5}"]
    ).data.augment.model_copy(
        update={
            "upend": 0.5,
            "angle": 180.0,
            "scale": 0.12,
            "shift": 0.06,
            "brightness": 0.1,
            "contrast": 0.1,
            "gamma": 0.1,
        }
    )
    left = [line.split(":")[0].strip() for line in recipe.to_yaml().splitlines() if line.endswith(" auto")]
    assert left == ["preset", "slice_axis", "dimensions", "precision", "compile"], (
        "a preset has this name, there are no volumes, and precision and compile are chosen by the device of the day"
    )
    images, _ = plan_training(load_recipe("generate"), dataset, device="cpu")
    assert images.process.sigma_data == pytest.approx(float(dataset.images(rows).std()), abs=1e-3)  # type: ignore[union-attr]
    given = load_recipe("generate", settings=["process.sigma_data=0.7", "train.steps=3", "network.channels=12"])
    kept, choices = plan_training(given, dataset, device="cpu")
    assert kept.process.sigma_data == 0.7 and kept.network.channels == 12  # type: ignore[union-attr]
    assert not {"process.sigma_data", "train.minutes", "network.channels"} & {choice.choice for choice in choices}
    for setting in ("data.size=[16, 16]", "data.keep_aspect=true", "data.intensity=percentile", "data.modality=ct"):
        with pytest.raises(UsageError, match=rf"{setting.split('=')[0]}: .* in the data set"):
            plan_training(load_recipe("segment", settings=[setting]), dataset, device="cpu")


@pytest.mark.parametrize(
    "setting",
    [
        "train.batch=0x10", "train.batch=1_000", "train.batch=1:30", "train.batch=true", "train.batch='1_0'",
        "train.batch=2.6", "train.steps=infk", "train.steps=1_0k", "train.seed=0b1", "train.seed=yes",
        "train.minutes=.inf", "train.minutes=inf", "train.minutes=.nan", "sample.guidance=nan",
        "train.learning_rate=-.inf", "data.source.component=0x1",
    ],
)  # fmt: skip
def test_numbers_are_plain_and_finite(setting: str) -> None:
    field = setting.partition("=")[0]
    with pytest.raises(UsageError, match=rf"{re.escape(field)}: .*found") as error:
        load_recipe("generate", settings=[setting])
    assert "function" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "number"),
    [("train.batch=010", 10), ("train.batch=2.0", 2), ("train.steps=1.5k", 1500), ("train.learning_rate=1e-3", 1e-3)],
)
def test_plain_numbers_are_taken(setting: str, number: float) -> None:
    field = setting.partition("=")[0].partition(".")[2]
    assert getattr(load_recipe("generate", settings=[setting]).train, field) == number


def test_an_interval_may_end_at_infinity(tmp_path: Path) -> None:
    recipe = load_recipe("generate", settings=["sample.guidance_interval=[0.2, .inf]"])
    assert recipe.sample.guidance_interval == (0.2, math.inf)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert load_recipe("generate", tmp_path / "recipe.yaml") == recipe


def test_a_process_over_that_of_a_run_has_the_defaults_of_its_task() -> None:
    """What a run is started from may have another process; a recipe file too."""
    for kind in ("gaussian", "sdd", "ssn"):
        settings = [f"process.kind={kind}"]
        alone = load_recipe("segment", settings=settings)
        for other in ({"kind": "ssn", "rank": 2}, {"kind": "edm", "log_sigma_mean": -2.0}, {"kind": "none"}):
            if other["kind"] != kind:
                assert load_recipe("segment", settings=settings, beneath={"process": other}) == alone
    own = load_recipe("segment", settings=["process.kind=ssn"], beneath={"process": {"kind": "ssn", "rank": 2}})
    assert isinstance(own.process, SSNProcess) and own.process.rank == 2


def test_few_calls_bring_a_flow_and_its_sampler() -> None:
    recipe = load_recipe("generate", changes={"train.few_calls": 2})
    sample = recipe.sample
    assert (recipe.process.kind, sample.sampler, sample.steps, sample.grid) == ("flow", "jump", 2, "uniform")
    assert recipe.process == load_recipe("generate", settings=["process.kind=flow"]).process
    assert recipe.validate_.metric == "kid"
    other = load_recipe("generate", changes={"train.few_calls": 4}, settings=["sample.steps=1", "process.logit_mean=0"])
    assert (other.sample.steps, getattr(other.process, "logit_mean")) == (1, 0.0)  # noqa: B009


@pytest.mark.parametrize(
    ("task", "settings", "finding"),
    [
        ("generate", ["train.few_calls=2", "process.kind=edm"], "process.kind=flow"),
        ("generate", ["train.few_calls=2", "process.kind=flow", "process.prediction=x0"], "prediction=v"),
        ("segment", ["train.few_calls=2", "process.kind=flow"], "is for generate"),
        ("generate", ["train.few_calls=2", "network.kind=monai"], "cannot be told"),
        ("generate", ["train.few_calls=2", "loss.uncertainty=true"], "a loss of its own"),
        ("generate", ["process.kind=flow", "sample.sampler=jump"], "train.few_calls=2"),
    ],
)
def test_jumps_are_refused_where_nobody_learns_them(task: TaskKind, settings: list[str], finding: str) -> None:
    with pytest.raises(UsageError, match=re.escape(finding)):
        load_recipe(task, settings=settings)
