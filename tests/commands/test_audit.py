"""`sfumato audit`, and the order of review of `sfumato segment` where it is calibrated."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato import segment
from sfumato.commands import audit as auditing
from sfumato.commands import exchange, report
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.errors import UsageError
from sfumato.evaluation import review, validation_cases
from sfumato.evaluation import review_order as reviewing
from sfumato.experiment.run import Model, Run, load_model


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def audited(segment_run: Path) -> Path:
    out = segment_run.parent / "audited"
    auditing.audit(segment_run, out=out, split="validation", calls="1,3", members=2)
    return out


def test_one_table_of_all_arms_on_the_same_cases(audited: Path) -> None:
    summary = json.loads((audited / "summary.json").read_text())
    names = ["recommended", "1 call", "3 calls", "twin", "twin, views", "random state", "shuffled state"]
    assert summary["kind"] == "audit" and list(summary["arms"]) == names
    assert [summary["arms"][name]["network_calls"] for name in names[1:4]] == [2, 6, 1]
    assert all(arm["dice"]["low"] <= arm["dice"]["mean"] <= arm["dice"]["high"] for arm in summary["arms"].values())
    assert summary["arms"]["recommended"]["difference"] is None and summary["arms"]["twin"]["ged_u"] is None
    assert summary["arms"]["3 calls"]["ged_u"] is not None and summary["readers"] == 2
    table = rows(audited / "scores.csv")
    assert len(table) == len(names) * summary["cases"]
    mine = [float(row["dice"]) for row in table if row["arm"] == "random state"]
    assert np.mean(mine) == pytest.approx(summary["arms"]["random state"]["dice"]["mean"], abs=1e-5)
    assert (audited / "provenance.json").is_file()


def test_the_page_of_an_audit(audited: Path, tmp_path: Path) -> None:
    page = report.report(audited, out=tmp_path / "page.html")
    text = Path(page["report"]).read_text()
    assert "Does the diffusion part matter?" in text and "shuffled state" in text


def test_what_cannot_be_audited_is_said(segment_run: Path, generate_run: Path, toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="it has no noisy state"):
        auditing.audit(segment_run / "twin", out=out)
    with pytest.raises(UsageError, match="to generate images"):
        auditing.audit(generate_run, out=out)
    for calls in ("0", "few", ""):
        with pytest.raises(UsageError, match="--calls"):
            auditing.audit(segment_run, out=out, calls=calls)
    with pytest.raises(UsageError, match="--members 0"):
        auditing.audit(segment_run, out=out, members=0)
    assert not out.exists()


@pytest.fixture
def run(segment_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose few validation cases are enough."""
    monkeypatch.setattr(validation_cases, "FEWEST_CASES", 3)
    monkeypatch.setattr(review, "FEWEST_CASES", 3)
    return Path(shutil.copytree(segment_run, tmp_path / "run"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models whose masks are measured, in order."""
    models, measure = list[Path](), reviewing.measure_review

    def noted(model: Model, *rest: Any, **how: Any) -> Any:
        models.append(Path(model.name))
        return measure(model, *rest, **how)

    monkeypatch.setattr(reviewing, "measure_review", noted)
    return models


def test_a_model_that_is_loaded_is_measured_once(run: Path, toy: Path, tmp_path: Path, measured: list[Path]) -> None:
    """The second call knows what the first one found out, although the model was loaded before."""
    model, image = load_model(run), min((toy / "images").iterdir())
    first, second = (segment(model, image, out=tmp_path / name, samples=2) for name in ("a", "b"))
    assert measured == [run, run / "twin"]
    assert first.summary["review"] == second.summary["review"] and first.summary["review"]["by"] == "expected_error"


def test_questions_are_answered_by_one_measurement(
    run: Path, toy: Path, tmp_path: Path, measured: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sorted((toy / "images").iterdir())[:3]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, images)) + "\n\n"))
    done = segmenting.segment(run, out=tmp_path / "out", sampling=SamplingFlags(steps=2), interactive=True)
    assert len(done["predictions"]) == 3 and measured == [run]


def test_cases_are_ordered_by_the_error_to_expect(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = segmenting.segment(
        run, dataset, out=tmp_path / "a", split="train", samples=2, sampling=SamplingFlags(steps=2)
    )
    assert told["review"]["by"] == "expected_error" and told["review"]["validation_cases"] >= 3
    ordered = sorted(rows(tmp_path / "a" / "manifest.csv"), key=lambda row: int(row["review_rank"]))
    errors = [float(row["expected_error"]) for row in ordered]
    assert errors == sorted(errors, reverse=True) and 0 <= min(errors) <= max(errors) <= 1
    assert [row["id"] for row in ordered[:3]] == told["review_first"]
    assert "expected_error" in rows(tmp_path / "a" / "twin" / "manifest.csv")[0]
    assert load_model(run).sha256 == load_model(Run(run).weights()).sha256

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(reviewing, "measure_review", fails)
    for shard in ("0/2", "1/2"):
        segmenting.segment(
            run, dataset, out=tmp_path / "b", split="train", samples=2, sampling=SamplingFlags(steps=2), shard=shard
        )
    names = ("id", "expected_error", "review_rank")
    first, second = (
        [{name: row[name] for name in names} for row in rows(tmp_path / out / "manifest.csv")] for out in ("a", "b")
    )
    assert first == second
    with pytest.raises(AssertionError, match="measured again"):
        segmenting.segment(run, dataset, out=tmp_path / "c", split="test", samples=2, sampling=SamplingFlags(steps=3))
    assert not (run / "model.safetensors").exists()
    exchange.export(run, to="safetensors", out=tmp_path / "lone.safetensors")
    kept = segmenting.segment(
        tmp_path / "lone.safetensors",
        dataset,
        out=tmp_path / "d",
        split="train",
        samples=2,
        sampling=SamplingFlags(steps=2),
    )
    assert kept["review"] == told["review"]


def test_without_a_calibration_the_order_is_that_of_uncertainty(
    segment_run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = segmenting.segment(
        segment_run, dataset, out=tmp_path / "few", split="test", samples=2, sampling=SamplingFlags(steps=2)
    )
    assert few["review"]["by"] == "uncertainty" and "too few" in few["review"]["why"]
    lone = shutil.copy(Run(segment_run).weights(), tmp_path / "lone.safetensors")
    alone = segmenting.segment(
        Path(lone), dataset, out=tmp_path / "lone", split="test", samples=2, sampling=SamplingFlags(steps=2)
    )
    assert "a model without its run" in alone["review"]["why"]
    table = sorted(rows(tmp_path / "lone" / "manifest.csv"), key=lambda row: int(row["review_rank"]))
    doubt = [float(row["uncertainty"]) for row in table]
    assert "expected_error" not in table[0] and doubt == sorted(doubt, reverse=True)
    captured = capsys.readouterr()
    assert "ordered by uncertainty" in " ".join((captured.out + captured.err).split())


def test_volumes_have_an_error_to_expect_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.commands.conftest import TINY

    from sfumato.commands import toy as toys
    from sfumato.commands import train

    monkeypatch.setattr(validation_cases, "FEWEST_CASES", 1)
    monkeypatch.setattr(review, "FEWEST_CASES", 1)
    toys.toy(tmp_path / "scans", volumes=True, cases=6, size=32)
    train.segment(tmp_path / "scans", out=tmp_path / "run", size="16", steps=2, batch=4, set=TINY)
    told = segmenting.segment(
        tmp_path / "run", tmp_path / "scans", out=tmp_path / "out", samples=2, sampling=SamplingFlags(steps=1)
    )
    table = rows(tmp_path / "out" / "manifest.csv")
    assert told["review"]["by"] == "expected_error" and len(table) == 6
    assert all(0 <= float(row["expected_error"]) <= 1 for row in table)
