"""`sfumato segment` from the twin's mask, with views of an image, and what members disagree about."""

import csv
import json
from pathlib import Path

import pytest

from sfumato.commands import segment as segmenting
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.formats.image import read_image
from sfumato.errors import UsageError
from sfumato.experiment.run import Run, load_model

TINY = "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def image(toy: Path) -> Path:
    return next((toy / "images").glob("*.png"))


def test_a_warm_start_counts_the_call_of_the_twin(segment_run: Path, image: Path, tmp_path: Path) -> None:
    told = segmenting.segment(
        segment_run, image, out=tmp_path / "dry", start="twin", sampling=SamplingFlags(steps=2), samples=3, dry_run=True
    )
    result = segmenting.segment(
        segment_run, image, out=tmp_path / "out", start="twin", sampling=SamplingFlags(steps=2), samples=3
    )
    assert result["network_calls"] == told["network_calls"] == 3 * 2 + 1 and result["start"] == "twin"
    assert rows(tmp_path / "out")[0]["network_calls"] == "7"
    assert rows(tmp_path / "out" / "twin")[0]["network_calls"] == "1"


def test_what_a_warm_start_needs_is_said(segment_run: Path, image: Path, tmp_path: Path) -> None:
    alone = tmp_path / "model.safetensors"
    alone.write_bytes(Run(segment_run).weights().read_bytes())
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no deterministic twin"):
        segmenting.segment(alone, image, out=out, start="twin")
    with pytest.raises(UsageError, match="critical log-SNR"):
        segmenting.segment(segment_run, image, out=out, start="twin", sampling=SamplingFlags(grid="karras"))
    with pytest.raises(UsageError, match="measured from noise"):
        segmenting.segment(segment_run, image, out=out, start="twin", sampling=SamplingFlags(steps="auto"))
    with pytest.raises(UsageError, match="warm start needs"):
        segmenting.segment(segment_run / "twin", image, out=out, start="twin")
    assert not out.exists()


def test_views_make_an_ensemble_of_the_twin(
    segment_run: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = segment_run / "twin"
    result = segmenting.segment(twin, image, out=tmp_path / "views", samples=8, tta=True, save="members,information")
    assert result["members"] == result["network_calls"] == 8 and result["tta"]
    (row,) = rows(tmp_path / "views")
    assert float(row["information"]) > 0 and len(list((tmp_path / "views" / "members").glob("*.png"))) == 8
    result = segmenting.segment(twin, image, out=tmp_path / "one", samples=8)
    captured = capsys.readouterr()
    assert result["members"] == 1 and "more would be equal" in " ".join((captured.out + captured.err).split())
    for samples in (1, 9):
        with pytest.raises(UsageError, match="--tta"):
            segmenting.segment(twin, image, out=tmp_path / "no", samples=samples, tta=True)


def test_information_is_a_map_and_a_number(segment_run: Path, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segmenting.segment(
        segment_run, image, out=out, samples=4, sampling=SamplingFlags(steps=2), save="information,uncertainty"
    )
    (row,) = rows(out)
    names = (str(image), str(out / row["information_map"]), str(out / row["uncertainty_map"]))
    original, information, doubt = (read_image(name)[..., 0].astype(int) for name in names)
    assert original.shape == information.shape == doubt.shape
    assert (information <= doubt + 1).all(), "a part of all doubt"
    assert 0 < float(row["information"]) < float(row["uncertainty"])
    assert "information_map" not in rows(out / "twin")[0], "its single member agrees with itself"
    with pytest.raises(UsageError, match="single member"):
        segmenting.segment(segment_run, image, out=tmp_path / "no", samples=1, save="information")


def test_recycled_and_self_conditioned_runs_train_segment_and_resume(
    dataset: Path, image: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    own = ["train.recycle=0.5", "train.self_condition=0.5", "train.warmup=1", "validate.cases=2", TINY]
    train.segment(dataset, out=run, steps=3, batch=4, set=[*own, "sample={start: twin, steps: 2}"], twin=True)
    recipe = load_model(run).recipe
    assert recipe.train.recycle == 0.5 and load_model(run).sampler().self_condition == 2
    baseline = load_model(run / "twin").recipe
    assert (baseline.train.recycle, baseline.train.self_condition, baseline.sample.start) == (0, 0, "noise")
    result = segmenting.segment(run, image, out=tmp_path / "out", samples=2)
    assert result["start"] == "twin" and result["network_calls"] == 2 * 2 + 1
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["steps"] == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["train.recycle=0.5", "process={kind: gaussian, prediction: eps}", "sample.grid=log_snr"], "prediction eps"),
        (["train.recycle=0.5", "process={kind: none}"], "process none has no state"),
        (["train.self_condition=0.5", "process={kind: none}"], "process none has no state"),
    ],
)
def test_own_estimates_are_refused_where_they_say_nothing(
    dataset: Path, tmp_path: Path, settings: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        train.segment(dataset, out=tmp_path / "run", steps=1, batch=4, set=[*settings, TINY])


def test_recycling_is_for_masks_and_self_conditioning_for_both(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for masks"):
        train.generate(dataset, out=tmp_path / "no", steps=1, batch=4, set=["train.recycle=0.5", TINY])
    train.generate(
        dataset, out=tmp_path / "run", steps=2, batch=4,
        set=["train.self_condition=0.5", "sample.steps=2", "validate.cases=2", TINY],
    )  # fmt: skip
    assert load_model(tmp_path / "run").sampler().self_condition == 3, "channels of the images"
