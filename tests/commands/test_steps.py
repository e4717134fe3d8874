"""`--steps auto`: measured once on the validation split, kept beside the model, which stays as it is."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.commands.flagged import as_flags

from sfumato.commands import exchange
from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.errors import UsageError
from sfumato.experiment import fewest_steps as calls
from sfumato.experiment.run import HEADER_KEY, Run, load_model
from sfumato.measured import MEASURED_FILE, keep_measured, read_measured
from sfumato.provenance import digest
from sfumato.training.weights import load_weights, write_weights


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "STEPS", (1, 2, 5))
    monkeypatch.setattr(calls, "CASES", 2)
    monkeypatch.setattr(calls, "COMPONENT_IMAGES", 6)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the one of measurements."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MEASURED_FILE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kept(run: Path) -> dict[str, Any]:
    """What was measured of the only model of a run."""
    (known,) = json.loads((run / MEASURED_FILE).read_text()).values()
    return dict(known)


def test_masks(segment_run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    shutil.copytree(segment_run, run)
    before, files = load_model(run), bytes_of(run)
    first = segmenting.segment(
        run, dataset, out=tmp_path / "a", split="test", samples=2, sampling=SamplingFlags(steps="auto")
    )
    curve = kept(run)["curve"]
    assert [point["steps"] for point in curve["points"]] == [1, 2, 5]
    assert all(0 <= point["values"]["dice"] <= 1 and "ged" in point["values"] for point in curve["points"])
    assert first["steps"] == curve["steps"]
    assert bytes_of(run) == files, "the run is as it was, its model too"
    after = load_model(run)
    assert after.sha256 == before.sha256 and after.step == before.step

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("sfumato.experiment.resolve_steps.measure_curve", fails)
    exchange.export(run, to="safetensors", out=tmp_path / "lone.safetensors")
    assert load_model(tmp_path / "lone.safetensors").sha256 == before.sha256
    for model, out in [(run, "b"), (tmp_path / "lone.safetensors", "c")]:
        again = segmenting.segment(
            model, dataset, out=tmp_path / out, split="test", samples=2, sampling=SamplingFlags(steps="auto")
        )
        assert again["steps"] == first["steps"]


def test_images(generate_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(generate_run, run)
    files = bytes_of(run)
    generating.generate(run, out=tmp_path / "samples", count=2, sampling=SamplingFlags(steps="auto"))
    curve = kept(run)["curve"]
    assert list(curve["points"][0]["values"]) == ["kid"] and curve["tolerance"]["kid"] > 0
    assert bytes_of(run) == files


def test_a_curve_in_the_header_is_still_read(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    """As sfumato 0.1 wrote it into RUN/model.safetensors."""
    run = tmp_path / "run"
    shutil.copytree(segment_run, run)
    tensors, metadata = load_weights(Run(run).weights())
    points = [{"steps": steps, "calls": steps, "values": {"dice": 0.5, "ged": 0.1}} for steps in (3, 50)]
    model = load_model(run)
    curve = {
        "sampler": model.recipe.sample.sampler, "grid": model.recipe.sample.grid, "points": points,
        "tolerance": {"dice": 0.01, "ged": 0.01}, "of": "some cases",
    }  # fmt: skip
    about = json.loads(metadata[HEADER_KEY]) | {"curve": curve, "of": model.sha256}
    write_weights(run / "model.safetensors", tensors, {HEADER_KEY: json.dumps(about)})
    shutil.copy(run / "model.safetensors", tmp_path / "lone.safetensors")
    for path in (run, tmp_path / "lone.safetensors"):
        assert load_model(path).curve == curve and load_model(path).sha256 == model.sha256
        told = segmenting.segment(
            path, dataset, out=tmp_path / "out", split="test", sampling=SamplingFlags(steps="auto"), dry_run=True
        )
        assert told["network_calls"] == 2 * 3


def test_a_measurement_is_of_its_weights_alone(tmp_path: Path) -> None:
    keep_measured(tmp_path, "a", {"curve": 1})
    keep_measured(tmp_path, "b", {"curve": 2})
    keep_measured(tmp_path / "b.safetensors", "b", {"review": {"way": 3}})
    assert read_measured(tmp_path, "a") == {"curve": 1} and read_measured(tmp_path, "c") == {}
    assert read_measured(tmp_path / "any.safetensors", "b") == {"curve": 2, "review": {"way": 3}}
    for damaged in ("", "[]", '{"a": 1}', '{"a": {"cur'):
        (tmp_path / MEASURED_FILE).write_text(damaged)
        assert read_measured(tmp_path, "a") == {}


def test_a_lone_model_without_a_curve_is_refused_in_words(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    lone = shutil.copy(Run(segment_run).weights(), tmp_path / "lone.safetensors")
    with pytest.raises(UsageError, match="no measurement of ddim on the critical grid"):
        segmenting.segment(
            Path(lone), dataset, out=tmp_path / "out", split="test", sampling=SamplingFlags(steps="auto")
        )


@pytest.mark.parametrize("flag", ["eta", "churn", "guide", "guidance"])
@pytest.mark.parametrize("task", ["masks", "images"])
def test_a_curve_knows_no_other_flags(
    flag: str, task: str, segment_run: Path, generate_run: Path, dataset: Path, tmp_path: Path
) -> None:
    words: dict[str, Any] = {"out": tmp_path / "out", "steps": "auto", flag: "20" if flag == "guide" else 0.5}
    with pytest.raises(UsageError, match=f"--steps auto with --{flag}, which changes how many"):
        if task == "masks":
            segmenting.segment(segment_run, dataset, split="test", **as_flags(words))
        else:
            generating.generate(generate_run, **as_flags(words))


def test_a_curve_of_older_weights_is_passed_over(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(segment_run, run)
    segmenting.segment(run, dataset, out=tmp_path / "a", split="test", samples=2, sampling=SamplingFlags(steps="auto"))
    assert load_model(run).curve is not None
    weights = Run(segment_run).weights().relative_to(segment_run)
    shutil.copy(run / "twin" / Run(segment_run / "twin").weights().relative_to(segment_run / "twin"), run / weights)
    assert read_measured(run, digest(run / weights) or "") == {}
