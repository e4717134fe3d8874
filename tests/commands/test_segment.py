"""From a dataset to masks, scores and a page."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.commands import evaluate, report
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_mask
from sfumato.errors import DataError
from sfumato.experiment.inference import predict
from sfumato.experiment.run import Run, load_model
from sfumato.outputs.predictions import PROCESS_STRIPS


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def predictions(segment_run: Path, dataset: Path) -> Path:
    out = segment_run.parent / "predictions"
    segmenting.segment(segment_run, dataset, out=out, split="test", samples=3, sampling=SamplingFlags(steps=2))
    return out


def test_the_model_has_learned(segment_run: Path) -> None:
    records = [json.loads(line) for line in (segment_run / "log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "train"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_every_case_gets_every_file_in_its_own_size(predictions: Path, dataset: Path) -> None:
    opened = Dataset.open(dataset)
    names = {case.id for case in opened.cases if case.split == "test"}
    table = rows(predictions / "manifest.csv")
    assert {row["id"] for row in table} == names
    assert sorted(int(row["review_rank"]) for row in table) == list(range(1, len(names) + 1))
    for row in table:
        with Image.open(opened.cases[[case.id for case in opened.cases].index(row["id"])].image) as image:
            size = image.size
        for column in ("mask", "probability", "uncertainty_map", "overlay"):
            with Image.open(predictions / row[column]) as image:
                assert image.size == size, column
        assert set(np.unique(read_mask(str(predictions / row["mask"])))) <= {0, 255}
        assert len(list((predictions / "members").glob(f"{row['id']}_*.png"))) == 3
        assert int(row["network_calls"]) == 6
        assert row["size_unit"] == "pixels" and 0 <= float(row["presence_probability"]) <= 1
        assert (
            0 <= float(row["size_low"]) <= float(row["expected_size"]) <= float(row["size_high"]) <= size[0] * size[1]
        )
    pictured = sorted(file.stem for file in (predictions / "readings").iterdir())
    assert pictured == sorted(case.id for case in opened.cases if case.split == "test")[: len(pictured)]
    assert 1 <= len(pictured) <= PROCESS_STRIPS
    ordered = sorted(table, key=lambda row: int(row["review_rank"]))
    uncertain = [float(row["uncertainty"]) for row in ordered]
    assert uncertain == sorted(uncertain, reverse=True)
    assert (predictions / "twin" / "manifest.csv").is_file()


def test_a_case_gets_the_same_mask_in_any_company(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    opened = Dataset.open(dataset)
    case = next(case for case in opened.cases if case.split == "test")
    model = load_model(segment_run)
    sampler = model.sampler(steps=2)
    others = [other for other in opened.cases if other.id != case.id][:4]
    alone = next(predict(model, sampler, [case], count=2, seed=1, batch=16))
    *_, among = predict(model, sampler, [*others, case], count=2, seed=1, batch=3)
    assert np.allclose(alone.members, among.members, atol=1e-5)
    other_seed = next(predict(model, sampler, [case], count=2, seed=2, batch=16))
    assert not np.allclose(alone.members, other_seed.members, atol=1e-5)
    assert not np.allclose(alone.members[0], alone.members[1], atol=1e-5)


def test_one_file_describes_itself(segment_run: Path, toy: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(Run(segment_run).weights().read_bytes())
    image = next((toy / "images").glob("*.png"))
    segmenting.segment(model, image, out=tmp_path / "out", sampling=SamplingFlags(steps=2))
    segmenting.segment(segment_run, image, out=tmp_path / "run", sampling=SamplingFlags(steps=2))
    name = f"masks/{image.stem}.png"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_scores_show_the_twin_beside_the_model(predictions: Path, dataset: Path, tmp_path: Path) -> None:
    result = evaluate.masks(predictions, dataset, out=tmp_path / "scores")
    assert set(result["arms"]) == {"diffusion", "deterministic twin"}
    arm = result["arms"]["diffusion"]
    assert arm["dice"]["low"] <= arm["dice"]["mean"] <= arm["dice"]["high"]
    assert result["arms"]["deterministic twin"]["network_calls"] == 1 and arm["network_calls"] == 6
    assert {"ged_u", "hm_iou"} <= set(arm)
    assert set(arm["review"]["other_orders"]) == {"deterministic twin"}, "its own order is that of uncertainty"
    table = rows(tmp_path / "scores" / "scores.csv")
    own = [float(row["dice"]) for row in table if row["arm"] == "diffusion"]
    assert np.isclose(np.mean(own), arm["dice"]["mean"], atol=1e-4)
    page = report.report(tmp_path / "scores", predictions, out=tmp_path / "report.html")
    text = Path(page["report"]).read_text()
    assert "deterministic twin" in text and "http://" not in text.replace("http://www.w3.org", "")


def test_the_truth_scores_one(dataset: Path, predictions: Path, tmp_path: Path) -> None:
    """The references, handed in as predictions, agree with themselves; a case without a reference is an error."""
    copy = tmp_path / "perfect"
    (copy / "masks").mkdir(parents=True)
    for name in ("manifest.csv", "summary.json"):
        (copy / name).write_bytes((predictions / name).read_bytes())
    opened = Dataset.open(dataset)
    for case in opened.cases:
        (copy / "masks" / f"{case.id}.png").write_bytes(Path(case.masks[0]).read_bytes())
    alone = tmp_path / "reference"
    alone.mkdir()
    for case in opened.cases:
        (alone / f"{case.id}.png").write_bytes(Path(case.masks[0]).read_bytes())
    result = evaluate.masks(copy, alone, out=tmp_path / "scores")
    assert result["arms"]["diffusion"]["dice"]["mean"] == 1.0
    scored = rows(predictions / "manifest.csv")[0]["id"]
    (alone / f"{scored}.png").unlink()
    with pytest.raises(DataError, match=scored):
        evaluate.masks(copy, alone, out=tmp_path / "again")


def test_interactive_asks_until_an_empty_line(
    segment_run: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = next((toy / "images").glob("*.png"))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path}/missing.png\n{image}\n\n"))
    result = segmenting.segment(segment_run, out=tmp_path / "out", sampling=SamplingFlags(steps=2), interactive=True)
    assert result["predictions"] == [str(tmp_path / "out" / image.stem)]
    assert (tmp_path / "out" / image.stem / "masks" / f"{image.stem}.png").is_file()


def test_all_unreadable_images_are_named_before_any_is_segmented(segment_run: Path, toy: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, image in enumerate(sorted((toy / "images").glob("*.png"))[:4]):
        (scans / f"case{number}.png").write_bytes(image.read_bytes())
    (scans / "case1.png").write_bytes(b"")
    (scans / "case3.png").write_bytes((scans / "case0.png").read_bytes()[:99])
    with pytest.raises(DataError, match=r"(?s)case1.*case3"):
        segmenting.segment(segment_run, scans, out=tmp_path / "out", sampling=SamplingFlags(steps=2))
    assert not (tmp_path / "out").exists()
