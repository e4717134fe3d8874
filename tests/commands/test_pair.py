"""Pairs on request: filtered, reproducible by seed, marked as synthetic, usable as a dataset, counted."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.commands import bench, exchange, generate, info, report, train
from sfumato.commands import prepare as preparing
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.commands.pair import pair
from sfumato.data.dataset import Dataset
from sfumato.errors import ModelError, UsageError
from sfumato.evaluation.pairs.check import Check
from sfumato.experiment.run import Run, load_model
from sfumato.tasks.task import to_uint8

from .conftest import TINY


@pytest.fixture(scope="module")
def runs(dataset: Path) -> dict[str, Path]:
    """A run of each kind, barely trained."""
    made = {}
    for pairs in ("joint", "image_from_mask", "mask"):
        made[pairs] = dataset.parent / pairs
        train.generate(
            dataset, out=made[pairs], pairs=pairs, steps=6, batch=8,
            set=[*TINY, "sample.steps=2", "data.augment=non_leaking"],
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def joint(runs: dict[str, Path]) -> Path:
    out = runs["joint"].parent / "pairs"
    pair(runs["joint"], out=out, count=6, seed=11, batch=4)
    return out


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_files_manifest_and_metadata(joint: Path, dataset: Path) -> None:
    rows, rule = rows_of(joint), Dataset.open(dataset).spec.mask_rule
    assert rule is not None
    assert [row["seed"] for row in rows] == [str(seed) for seed in range(11, 17)]
    classes = Dataset.open(dataset).spec.classes
    assert [row["label"] for row in rows] == [classes[int(row["seed"]) % 2] for row in rows], "in turn, by the seed"
    for row in rows:
        assert (row["origin"], row["mask_source"], row["kept"]) == ("synthetic", "joint", "yes")
        assert row["dice_resegmented"] == row["copy_score"] == row["copy"] == ""
        assert set(np.unique(pixels_of(joint / row["mask"]))) <= set(rule.values)
        for file in (row["image"], row["mask"]):
            with Image.open(joint / file) as image:
                assert image.size == (16, 16) and image.text["Synthetic"] == "true"  # type: ignore[attr-defined]
                assert image.text["Seed"] == row["seed"] and image.text["Model"] == row["source"]  # type: ignore[attr-defined]
    summary = json.loads((joint / "summary.json").read_text())
    assert (summary["kind"], summary["kept"], summary["attempts"], summary["stopped"]) == ("pairs", 6, 6, "enough")
    assert "nobody has looked" in summary["reading"][0]
    assert json.loads((joint / "provenance.json").read_text())["inputs"].keys() == {"model"}


def test_the_folder_is_a_dataset_and_a_section(joint: Path, tmp_path: Path) -> None:
    preparing.prepare(joint, out=tmp_path / "dataset", size="16")
    dataset = Dataset.open(tmp_path / "dataset")
    assert dataset.spec.has_masks and len(dataset) == 6 and {case.origin for case in dataset.cases} == {"synthetic"}
    report.report(joint, out=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "nobody has looked" in page and "Pairs that were kept" in page


@pytest.mark.parametrize("kind", ["joint", "changed", "drawn"])
def test_a_seed_and_a_class_are_one_pair(runs: dict[str, Path], dataset: Path, tmp_path: Path, kind: str) -> None:
    model = runs["joint" if kind == "joint" else "image_from_mask"]
    more = {"joint": {}, "changed": {"masks": dataset}, "drawn": {"masks": runs["mask"]}}[kind]
    pair(model, out=tmp_path / "many", count=4, batch=3, sampling=SamplingFlags(guidance=1.5), **more)
    third = rows_of(tmp_path / "many")[2]
    pair(
        model,
        out=tmp_path / "one",
        count=1,
        seed=2,
        class_=third["label"],
        batch=1,
        sampling=SamplingFlags(guidance=1.5),
        **more,
    )
    (alone,) = rows_of(tmp_path / "one")
    for column in ("image", "mask"):
        assert (pixels_of(tmp_path / "one" / alone[column]) == pixels_of(tmp_path / "many" / third[column])).all()
    start = {"joint": "joint", "changed": "changed ", "drawn": "model "}[kind]
    assert alone["mask_source"] == third["mask_source"] and alone["mask_source"].startswith(start)


def test_the_same_command_continues(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after three: what is finished is not made again, and the folder is the same."""
    from sfumato.evaluation.pairs.making import Maker
    from sfumato.verbs import pair as pairing

    whole = tmp_path / "whole"
    pair(runs["joint"], out=whole, count=5)
    asked, pairs = list[int](), Maker.pairs

    def counted(self, wanted, **how):  # type: ignore[no-untyped-def]
        asked.append(len(wanted))
        yield from pairs(self, wanted, **how)

    class KillError(Exception):
        pass

    def killed(maker, made, folder, **how):  # type: ignore[no-untyped-def]
        if made.wanted.number == 3:
            raise KillError
        write(maker, made, folder, **how)

    write = pairing.write_pair
    monkeypatch.setattr(Maker, "pairs", counted)
    monkeypatch.setattr(pairing, "write_pair", killed)
    with pytest.raises(KillError):
        pair(runs["joint"], out=tmp_path / "again", count=5)
    assert not (tmp_path / "again").exists()
    monkeypatch.setattr(pairing, "write_pair", write)
    result = pair(runs["joint"], out=tmp_path / "again", count=5)
    assert asked == [50, 47] and result["kept"] == result["attempts"] == 5
    for file in ["manifest.csv", "pairs.png", *(row["mask"] for row in rows_of(whole))]:
        assert (whole / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    asked.clear()
    pair(runs["joint"], out=tmp_path / "again", count=5)
    assert not asked, "finished"


def test_pairs_are_kept_by_the_segmenter(
    runs: dict[str, Path], segment_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other attempt agrees; the folder has those, says where it ended, and the others if they are asked for."""
    monkeypatch.setattr(
        Check,
        "dice",
        lambda self, images, masks, names: [0.9 * (int(n[-1]) % 2) for n in names],  # noqa: ARG005
    )
    monkeypatch.setattr(Check, "threshold", 0.5)
    made = pair(runs["joint"], out=tmp_path / "kept", count=3, segmenter=segment_run, rejected=True, batch=2)
    assert (made["kept"], made["attempts"], made["stopped"]) == (3, 6, "enough")
    rows = rows_of(tmp_path / "kept")
    assert [(row["seed"], row["dice_resegmented"]) for row in rows] == [(s, "0.9000") for s in "135"]
    others = rows_of(tmp_path / "kept" / "rejected")
    assert [(row["seed"], row["kept"]) for row in others] == [(s, "no") for s in "024"]
    assert {path.name for path in (tmp_path / "kept" / "images").iterdir()} == {f"00000{s}.png" for s in "135"}
    assert (tmp_path / "kept" / "rejected.png").is_file() and made["check"]["quantile"] == 0.1
    spent = pair(runs["joint"], out=tmp_path / "spent", count=3, attempts=4, segmenter=segment_run)
    assert (spent["kept"], spent["attempts"], spent["stopped"]) == (2, 4, "attempts")
    assert "all attempts are spent" in spent["reading"][-1] and not (tmp_path / "spent" / "rejected").exists()
    monkeypatch.setattr(Check, "threshold", 0.95)
    with pytest.raises(ModelError, match=r"best has a Dice of 0\.900"):
        pair(runs["joint"], out=tmp_path / "none", count=1, attempts=4, segmenter=segment_run)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("twin", [False, True])
def test_a_real_segmenter_judges_real_cases(segment_run: Path, twin: bool) -> None:
    """Nothing replaced: the Dice of each validation case, the same each time, whatever is read at once."""
    dataset, model = Dataset.open(Run(segment_run).dataset), load_model(segment_run / "twin" if twin else segment_run)
    check = Check.of(model, dataset, quantile=0.0)
    assert len(check.real) == len(dataset.rows("validation")) and check.threshold == min(check.real) > 0
    assert check.reader.members == (1 if twin else 2)
    assert Check.of(model, dataset, quantile=0.0, batch=1).real == check.real
    row = dataset.rows("validation")[0]
    image = to_uint8(dataset.images([row]))
    own = check.reader.masks(dataset.images([row]), ["x/1"])
    assert check.dice(image, own, ["x/1"]) == [1.0], "of its own mask"


def test_words_that_would_do_nothing_are_refused(
    runs: dict[str, Path], segment_run: Path, generate_run: Path, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    file = next(iter(runs["image_from_mask"].glob("checkpoints/*/ema.safetensors")))
    for match, model, words in (
        ("makes no pairs", generate_run, {}),
        ("makes no pairs", runs["mask"], {}),
        ("--masks and --change", runs["joint"], {"masks": dataset, "change": 1.0}),
        ("there are none", file, {}),
        ("--change 1 is for real masks", runs["image_from_mask"], {"masks": runs["mask"], "change": 1.0}),
        ("makes no masks", runs["image_from_mask"], {"masks": runs["joint"]}),
        ("above 0", runs["image_from_mask"], {"change": 0.0}),
        ("--quantile without", runs["joint"], {"quantile": 0.2}),
        ("--quantile 1", runs["joint"], {"quantile": 1.0, "segmenter": segment_run}),
        ("train segment", runs["joint"], {"segmenter": generate_run}),
        ("--attempts 3", runs["joint"], {"count": 4, "attempts": 3}),
        ("no class x", runs["joint"], {"class_": "x"}),
    ):
        with pytest.raises(UsageError, match=match):
            pair(model, out=out, **words)
    assert pair(file, out=out, masks=dataset, count=2, dry_run=True)["attempts"] == 20 and not out.exists()


def test_other_verbs_know_pairs(runs: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    for run in runs.values():
        assert info.info(run)["model"]["flops_per_call"] > 0
        with pytest.raises(UsageError, match="sfumato pair"):
            generate.generate(run, out=tmp_path / "images", count=1)
    assert bench.bench("sample", runs["image_from_mask"], seconds=0.01)["sample"]
    assert train.resume(runs["joint"], until_steps=7)["step"] == 7
    with pytest.raises(UsageError, match="other settings"):
        train.generate(dataset, out=runs["joint"], pairs="mask", steps=7, batch=8, set=[*TINY, "sample.steps=2"])
    exchange.export(runs["mask"], out=tmp_path / "mask.safetensors", to="safetensors")
    pair(runs["image_from_mask"], out=tmp_path / "o", masks=tmp_path / "mask.safetensors", count=1)
