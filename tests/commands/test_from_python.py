"""Verbs that a notebook calls as the command line does: typed results, and the same files."""

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.commands.conftest import TINY

import sfumato
from sfumato.errors import UsageError


def test_an_audit_returns_its_table(segment_run: Path, tmp_path: Path) -> None:
    done = sfumato.audit(segment_run, out=tmp_path / "audit", split="validation", calls=(1,), members=2, cases=4)
    assert [row.name for row in done.rows][:2] == ["recommended", "1 call"]
    assert done.rows[0].difference is None and done.rows[1].difference is not None
    assert done.summary["arms"]["1 call"]["dice"]["mean"] == pytest.approx(done.rows[1].dice.mean, abs=1e-6)
    assert done.beside_constant is not None and (done.folder / "scores.csv").is_file()
    with pytest.raises(UsageError, match="--calls 0"):
        sfumato.audit(segment_run, out=tmp_path / "none", calls=(0,))


def test_a_study_goes_on_where_it_was_left(dataset: Path, tmp_path: Path) -> None:
    asked = {"out": tmp_path / "study", "steps_per_trial": 2, "settings": TINY, "search": ["train.warmup=1..3"]}
    first = sfumato.tune("generate", dataset, trials=1, **asked)
    assert first.verdict == "cannot be told" and len(first.trials) == 1
    second = sfumato.tune("generate", dataset, trials=2, **asked)
    assert second.trials[0] == first.trials[0] and [each.state for each in second.trials] == ["complete"] * 2
    assert second.best is not None and second.best.score == max(each.score for each in second.trials)
    assert second.recipe is not None and second.recipe.is_file()
    assert second.summary["complete"] == 2 and second.summary["verdict"] == second.verdict


def test_what_was_not_measured_is_none(dataset: Path) -> None:
    speed = sfumato.bench(dataset, "load", task="segment", settings=TINY, changes={"train.batch": 4}, seconds=0.1)
    assert speed.batch == 4 and speed.load is not None and speed.load.images_per_second > 0
    assert speed.train is speed.memory is speed.sample is None
    assert set(speed.summary) == {"hardware", "batch", "load"}


def test_a_source_is_converted_or_would_be(toy: Path, tmp_path: Path) -> None:
    asked = {"to": "npz", "out": tmp_path / "toy.npz", "size": 8}
    planned = sfumato.convert(toy, **asked, dry_run=True)
    assert planned.masks is None and not planned.out.exists()
    written = sfumato.convert(toy, **asked)
    assert (written.cases, written.masks) == (planned.cases, True)
    with np.load(written.out) as arrays:
        assert {array.shape[1:3] for array in arrays.values() if array.ndim >= 3} == {(8, 8)}


def test_statistics_of_real_images(dataset: Path, tmp_path: Path) -> None:
    made = sfumato.reference(dataset, out=tmp_path / "real.npz", real_split="train")
    with np.load(made.file) as arrays:
        assert arrays["sigma"].shape == (*arrays["mu"].shape, *arrays["mu"].shape)
    with (dataset / "manifest.csv").open() as file:
        assert made.summary["images"] == sum(row["split"] == "train" for row in csv.DictReader(file))


def test_a_model_is_exported_as_it_is(generate_run: Path, tmp_path: Path) -> None:
    exported = sfumato.export_model(generate_run, to="safetensors", out=tmp_path / "model.safetensors")
    assert exported.out.is_file() and exported.weights
    with pytest.raises(UsageError, match="no pipeline of diffusers can hold"):
        sfumato.export_model(generate_run, to="diffusers", out=tmp_path / "pipeline")
    with pytest.raises(UsageError, match="no generator of diffusers"):
        sfumato.import_model(generate_run, out=tmp_path / "again.safetensors")
