"""`evaluate masks`: what other tools get wrong must come out right, and what does not belong together is refused."""

import csv
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import pytest

from sfumato import Preparation, prepare
from sfumato.commands import evaluate
from sfumato.data.formats.image import write_image
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.masks import evaluate as measuring
from sfumato.local import found
from sfumato.reporting.content import Table
from sfumato.reporting.reading import DASH
from sfumato.reporting.sections.beside_readers import marks_table
from sfumato.reporting.sections.scores import scores_section

SIDE = 32


def square(row: int, column: int = 8, *, side: int = 8, value: int = 255) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[row : row + side, column : column + side] = value
    return mask


EMPTY = np.zeros((SIDE, SIDE), np.uint8)


def folder_of(folder: Path, masks: Mapping[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    for name, mask in masks.items():
        write_image(folder / f"{name}.png", mask)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def names(count: int) -> list[str]:
    return [f"case{number:02}" for number in range(count)]


def test_missed_lesions_move_the_mean_hd95(tmp_path: Path) -> None:
    """Tools that leave out what they cannot measure report 4 px, however many of the lesions are missed."""
    reference = folder_of(tmp_path / "reference", dict.fromkeys(names(20), square(8)))
    means = []
    for missed in (0, 10, 18):
        drawn = {name: EMPTY if place < missed else square(12) for place, name in enumerate(names(20))}
        result = evaluate.masks(folder_of(tmp_path / f"{missed}", drawn), reference, out=tmp_path / f"out{missed}")
        arm = result["arms"][str(missed)]
        means.append(arm["hd95"]["mean"])
        assert arm["per_class"]["foreground"]["missed"] == arm["per_class"]["foreground"]["penalised"] == missed
        assert arm["per_class"]["foreground"]["presence_sensitivity"]["mean"] == pytest.approx(1 - missed / 20)
    diagonal = math.hypot(SIDE, SIDE)
    assert means == pytest.approx([4, (10 * 4 + 10 * diagonal) / 20, (2 * 4 + 18 * diagonal) / 20])
    left_out = evaluate.masks(tmp_path / "18", reference, out=tmp_path / "nnunet", empty="nnunet")
    assert left_out["arms"]["18"]["hd95"] == pytest.approx({"mean": 4, "low": 4, "high": 4, "level": 0.95, "cases": 2})


def test_hallucinations_on_empty_images_lower_dice(tmp_path: Path) -> None:
    reference = folder_of(tmp_path / "reference", dict.fromkeys(names(10), EMPTY))
    for false, dice in ((0, 1.0), (5, 0.5)):
        drawn = {name: square(3) if place < false else EMPTY for place, name in enumerate(names(10))}
        result = evaluate.masks(folder_of(tmp_path / f"{false}", drawn), reference, out=tmp_path / f"out{false}")
        arm = result["arms"][str(false)]
        assert arm["dice"]["mean"] == dice
        assert arm["per_class"]["foreground"]["false_alarms"] == false
        assert arm["per_class"]["foreground"]["presence_specificity"]["mean"] == 1 - false / 10
        assert arm["per_class"]["foreground"]["presence_sensitivity"] is None
    assert any("5 got a false alarm" in sentence for sentence in result["reading"])


def test_class_indices_against_white_are_understood_and_greys_refused(tmp_path: Path) -> None:
    reference = folder_of(tmp_path / "reference", {"a": square(8), "b": square(4)})
    plain = folder_of(tmp_path / "plain", {"a": square(8, value=1), "b": square(8, value=1)})
    result = evaluate.masks(plain, reference, out=tmp_path / "out")
    assert result["arms"]["plain"]["dice"]["mean"] == 0.75
    assert any("class indices" in note for note in result["notes"])
    again = evaluate.masks(reference, plain, out=tmp_path / "turned")
    assert again["arms"]["reference"]["dice"]["mean"] == 0.75
    soft = square(8)
    soft[0] = np.arange(SIDE)
    with pytest.raises(DataError, match="SCORE-002"):
        evaluate.masks(folder_of(tmp_path / "soft", {"a": soft, "b": soft}), reference, out=tmp_path / "refused")


def test_names_decide_and_nothing_is_passed_over(tmp_path: Path) -> None:
    reference = folder_of(tmp_path / "reference", {"a": square(8), "b": square(4), "c": square(2)})
    other = folder_of(tmp_path / "other", {"x": square(8), "y": square(4), "c": square(2)})
    with pytest.raises(DataError, match=r"(?s)SCORE-003.*2 of 3 predictions have no reference.*x.*y"):
        evaluate.masks(other, reference, out=tmp_path / "out")
    part = folder_of(tmp_path / "part", {"a_mask": square(8), "b_mask": square(4)})
    with pytest.raises(DataError, match=r"(?s)SCORE-005.*no prediction for 1 of 3 cases.*c"):
        evaluate.masks(part, reference, out=tmp_path / "out")
    left_out = evaluate.masks(part, reference, out=tmp_path / "left", missing="leave-out")
    assert (
        left_out["cases"] == 2 and left_out["left_out"] == {"part": 1} and left_out["arms"]["part"]["dice"]["mean"] == 1
    )
    empty = evaluate.masks(part, reference, out=tmp_path / "empty", missing="empty")
    assert empty["cases"] == 3 and empty["arms"]["part"]["dice"]["mean"] == pytest.approx(2 / 3)
    assert not (tmp_path / "out").exists()


def nnunet(folder: Path, volumes: Mapping[str, np.ndarray], *, affine: np.ndarray, labels: object = None) -> Path:
    folder.mkdir(parents=True)
    for name, voxels in volumes.items():
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.uint8), affine), folder / f"{name}.nii.gz")
    labels = labels or {"background": 0, "organ": 1, "tumour": 2}
    about = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": len(volumes), "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))
    (folder / "plans.json").write_text("{}")
    return folder


AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])


def test_a_folder_of_nnunet_gets_nnunets_dice(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = {name: rng.integers(0, 3, (6, 7, 4)) for name in names(3)}
    truth["case02"] = truth["case02"] % 2  # no tumour
    drawn = {name: np.where(rng.random(voxels.shape) < 0.7, voxels, 0) for name, voxels in truth.items()}
    reference = nnunet(tmp_path / "labelsTr", truth, affine=AFFINE)
    result = evaluate.masks(nnunet(tmp_path / "fold_0", drawn, affine=AFFINE), reference, out=tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    expected = {}
    for label in (1, 2):
        dice = []
        for name, voxels in truth.items():
            a, b = drawn[name] == label, voxels == label
            dice.append(2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else np.nan)
        expected[str(label)] = np.nanmean(dice)
        assert summary["mean"][str(label)]["Dice"] == pytest.approx(expected[str(label)])
    assert summary["foreground_mean"]["Dice"] == pytest.approx(np.mean(list(expected.values())))
    entry = summary["metric_per_case"][2]
    told = {kind: found(entry[f"{kind}_file"].split("::")[0], tmp_path / "out") for kind in ("reference", "prediction")}
    assert told["reference"] == reference / "case02.nii.gz" and told["prediction"].name == "case02.nii.gz"
    assert math.isnan(entry["metrics"]["2"]["Dice"]) and entry["metrics"]["2"]["n_ref"] == 0
    assert set(entry["metrics"]["1"]) >= {"Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"}
    assert result["classes"] == ["organ", "tumour"] and result["length"] == "mm" and result["tolerance"] == 2


def test_regions_are_scored_as_regions_and_ignored_voxels_as_nothing(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    truth, drawn = np.zeros((6, 6, 4), int), np.zeros((6, 6, 4), int)
    truth[1:5, 1:5], drawn[1:5, 1:5] = 1, 1
    truth[2:4, 2:4], drawn[2:4, 2:3] = 2, 2
    truth[0], drawn[0] = 3, 1
    reference = nnunet(tmp_path / "labelsTr", {"a": truth}, affine=AFFINE, labels=labels)
    result = evaluate.masks(nnunet(tmp_path / "fold", {"a": drawn}, affine=AFFINE), reference, out=tmp_path / "out")
    by_class = result["arms"]["fold"]["per_class"]
    assert {name: of["dice"] for name, of in by_class.items()} == {"whole": 1.0, "core": pytest.approx(2 / 3, abs=1e-6)}
    assert result["mean"]["(1, 2)"]["Dice"] == 1 and result["mean"]["2"]["Dice"] == pytest.approx(2 / 3)


def test_distances_are_in_millimetres_and_another_grid_is_refused(tmp_path: Path) -> None:
    truth = np.zeros((12, 12, 8), int)
    truth[3:8, 3:8, 2:5] = 1
    shifted = np.roll(truth, 1, axis=2)
    labels = {"background": 0, "organ": 1}
    reference = nnunet(tmp_path / "labelsTr", {"a": truth}, affine=AFFINE, labels=labels)
    drawn = nnunet(tmp_path / "drawn", {"a": shifted}, affine=AFFINE, labels=labels)
    arm = evaluate.masks(drawn, reference, out=tmp_path / "out", metrics="hd95,nsd:5.5")["arms"]["drawn"]
    assert arm["hd95"]["mean"] == pytest.approx(5) and arm["nsd"]["mean"] == 1 and "assd" not in arm
    moved = nnunet(tmp_path / "moved", {"a": truth}, affine=np.diag([1.0, 1.0, 4.0, 1.0]), labels=labels)
    with pytest.raises(DataError, match=r"SCORE-004.*another grid.*spacing 1 x 1 x 4 mm instead of 1 x 1 x 5 mm"):
        evaluate.masks(moved, reference, out=tmp_path / "refused")


def dataset(folder: Path, masks: Mapping[str, np.ndarray]) -> Path:
    """A folder with a manifest: two patients, two sites."""
    folder_of(folder / "masks", masks)
    folder_of(folder / "images", dict.fromkeys(masks, EMPTY))
    lines = [
        f"{name},images/{name}.png,masks/{name}.png,p{place // 4},{'north' if place < 4 else 'south'}"
        for place, name in enumerate(masks)
    ]
    (folder / "manifest.csv").write_text("\n".join(["id,image,mask,patient,site", *lines]) + "\n")
    return folder


def test_volumes_that_are_their_own_patients_count_as_cases(tmp_path: Path) -> None:
    reference = dataset(tmp_path / "data", dict.fromkeys(names(8), square(8)))
    lines = (reference / "manifest.csv").read_text().splitlines()
    whole = [f"{line},{'volume' if line is lines[0] else line.split(',')[3]}" for line in lines]
    (reference / "manifest.csv").write_text("\n".join(whole) + "\n")
    ours = folder_of(tmp_path / "ours", dict.fromkeys(names(8), square(8)))
    result = evaluate.masks(ours, reference, out=tmp_path / "out")
    assert result["patients"] is None
    assert any("Whose the cases are is not known" in sentence for sentence in result["limits"])


def test_patients_and_columns_and_other_models(tmp_path: Path) -> None:
    reference = dataset(tmp_path / "data", dict.fromkeys(names(8), square(8)))
    ours = folder_of(tmp_path / "ours", {name: square(8 + (k < 4) * 4) for k, name in enumerate(names(8))})
    theirs = folder_of(tmp_path / "theirs", {name: square(10 + (k < 4) * 4) for k, name in enumerate(names(8))})
    result = evaluate.masks(ours, reference, out=tmp_path / "out", against=[theirs], by="site")
    assert result["patients"] == 2
    sites = {name: of["arms"]["ours"]["dice"]["mean"] for name, of in result["groups"]["site"].items()}
    assert sites == {"north": 0.5, "south": 1.0}
    gap = result["differences"]["theirs"]["dice"]
    assert (gap["mean"], gap["low"], gap["high"]) == (0.25, 0.25, 0.25), "the pairs differ by the same everywhere"
    assert any("ours is better than theirs" in sentence for sentence in result["reading"])
    assert [row["dice"] for row in rows(tmp_path / "out" / "patients.csv")] == ["0.5", "1", "0.25", "0.75"]
    assert {row["site"] for row in rows(tmp_path / "out" / "scores.csv")} == {"north", "south"}
    with pytest.raises(UsageError, match="colour"):
        evaluate.masks(ours, reference, out=tmp_path / "refused", by="colour")
    (theirs / "case03.png").unlink()
    with pytest.raises(DataError, match=r"(?s)SCORE-005.*case03"):
        evaluate.masks(ours, reference, out=tmp_path / "refused", against=[theirs])


def ensemble(folder: Path, drawn: Mapping[str, list[np.ndarray]], *, doubt: Mapping[str, float]) -> Path:
    """A folder as `sfumato segment` writes it."""
    order = sorted(doubt, key=lambda name: -doubt[name])
    lines = []
    for name, members in drawn.items():
        probability = np.mean([member > 0 for member in members], axis=0)
        entropy = 4 * probability * (1 - probability)
        for kind, pixels in (
            ("masks", np.where(probability > 0.5, 255, 0).astype(np.uint8)),
            ("probability", (probability * 65535).astype(np.uint16)),
            ("uncertainty", (entropy * 255).astype(np.uint8)),
            *((f"members/{number:02}", member) for number, member in enumerate(members)),
        ):
            kind, _, number = kind.partition("/")
            (folder / kind).mkdir(parents=True, exist_ok=True)
            write_image(folder / kind / (f"{name}_{number}.png" if number else f"{name}.png"), pixels)
        files = f"masks/{name}.png,probability/{name}.png,uncertainty/{name}.png"
        lines.append(f"{name},x.png,{files},{doubt[name]},{order.index(name) + 1}")
    header = "id,image,mask,probability,uncertainty_map,uncertainty,review_rank"
    (folder / "manifest.csv").write_text("\n".join([header, *lines]) + "\n")
    about = {"process": "gaussian", "network_calls": 8, "mask_classes": ["background", "foreground"]}
    (folder / "summary.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    """Six cases of two readers: one drew a smaller object."""
    folder_of(tmp_path / "read" / "images", dict.fromkeys(names(6), EMPTY))
    folder_of(tmp_path / "read" / "masks" / "1", dict.fromkeys(names(6), square(8)))
    folder_of(tmp_path / "read" / "masks" / "2", dict.fromkeys(names(6), square(8, side=6)))
    return tmp_path / "read"


def test_ensembles_readers_and_the_order_of_review(tmp_path: Path, readers: Path) -> None:
    drawn = {name: [square(8 + k), square(8 + k, side=6)] for k, name in enumerate(names(6))}
    predictions = ensemble(tmp_path / "predictions", drawn, doubt={name: k / 10 for k, name in enumerate(names(6))})
    result = evaluate.masks(predictions, readers, out=tmp_path / "out")
    arm, own = result["arms"]["diffusion"], result["readers_own"]
    dice = 2 * 36 / (36 + 64)
    assert result["readers"] == 2 and own["dice"]["mean"] == pytest.approx(dice, abs=1e-6)
    assert [of["mean"] for of in own["each_dice"]] == pytest.approx([dice, dice], abs=1e-6)
    assert arm["members"] == 2 and arm["ged_v_floor"]["mean"] == pytest.approx((1 - 36 / 64) / 2 / 2, abs=1e-6)
    table = {row["id"]: row for row in rows(tmp_path / "out" / "scores.csv")}
    assert float(table["case00"]["ged_v"]) == 0 and float(table["case05"]["ged_v"]) > 0.3
    assert float(table["case00"]["hm_iou"]) == 1 and float(table["case00"]["d_max"]) == 1
    assert arm["review"]["spearman"] == pytest.approx(1) and arm["review"]["found"] == arm["review"]["found_best"]
    assert arm["review"]["aurc"] == arm["review"]["aurc_oracle"] < arm["review"]["aurc_random"]
    assert float(table["case00"]["error_auroc"]) > 0.9 and 0 < arm["ece_foreground"]["mean"] < 1
    bins = arm["reliability"]["band"]
    assert sum(bins["pixels"]) < sum(arm["reliability"]["everywhere"]["pixels"]) == 6 * 2 * SIDE**2
    section = scores_section(tmp_path / "out")
    titles = [getattr(block, "title", "") for block in (*section.headline, *section.blocks)]
    assert {"Overlap", "Found at all?", "The readers among themselves", "Error found by review"} <= set(titles)
    assert "Do the probabilities mean what they say?" in titles and section.reading == tuple(result["reading"])


def test_members_of_another_program_are_scored_beside_its_masks(tmp_path: Path, readers: Path) -> None:
    other = tmp_path / "phiseg"
    folder_of(other / "masks", dict.fromkeys(names(6), square(8)))
    for number, side in enumerate((8, 6)):
        folder_of(tmp_path / "drawn", {f"{name}_{number:02}": square(8, side=side) for name in names(6)})
        shutil.copytree(tmp_path / "drawn", other / "members", dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "drawn")
    result = evaluate.masks(other, readers, out=tmp_path / "out")
    arm = result["arms"]["phiseg"]
    assert arm["members"] == 2 and arm["ged_v"]["mean"] == 0 and arm["dice"]["mean"] < 1
    assert not any("stands alone" in note for note in result["notes"] if note.startswith("phiseg"))


def drawn_of(folder: Path, members: Mapping[str, list[np.ndarray]]) -> Path:
    """Ensembles in the folder of a model."""
    return ensemble(folder, members, doubt={name: k / 10 for k, name in enumerate(members)})


@pytest.fixture
def patients_with_readers(tmp_path: Path) -> Path:
    """Eight cases of four patients; the readers of the first six draw 8, 8, 6 and nothing, of the last two nothing."""
    folder = tmp_path / "read"
    by_reader = [[square(8)] * 6, [square(8)] * 6, [square(8, side=6)] * 6, [EMPTY] * 6]
    for reader, masks in enumerate(by_reader, start=1):
        folder_of(folder / "masks" / str(reader), dict(zip(names(8), [*masks, EMPTY, EMPTY], strict=True)))
    folder_of(folder / "images", dict.fromkeys(names(8), EMPTY))
    columns = ",".join(f"mask{reader}" for reader in range(1, 5))
    lines = [f"id,image,{columns},patient"]
    for place, name in enumerate(names(8)):
        masks = ",".join(f"masks/{reader}/{name}.png" for reader in range(1, 5))
        lines.append(f"{name},images/{name}.png,{masks},p{place // 2}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def as_the_readers(count: int, *, claims: int = 0) -> dict[str, list[np.ndarray]]:
    """Members in the proportions of the readers of `patients_with_readers`; some claim something where none does."""
    cycle = [square(8), square(8), square(8, side=6), EMPTY]
    members = {name: [cycle[k % 4] for k in range(count)] for name in names(6)}
    nothing = [square(8)] * claims + [EMPTY] * (count - claims)
    return members | dict.fromkeys(names(8)[6:], nothing)


def test_cases_that_no_reader_marked_are_told_apart(tmp_path: Path, patients_with_readers: Path) -> None:
    ours = drawn_of(tmp_path / "ours", as_the_readers(8, claims=6))
    theirs = drawn_of(tmp_path / "theirs", {name: [square(8)] * 8 for name in names(6)} | as_the_empty(8))
    result = evaluate.masks(ours, patients_with_readers, out=tmp_path / "out", against=[theirs])
    split = result["arms"]["diffusion"]["by_marks"]
    marked, empty = split["marked"], split["all_empty"]
    assert (marked["cases"], empty["cases"]) == (6, 2)
    assert marked["means"]["ged_v"]["mean"] == pytest.approx(0, abs=1e-6)
    share = 6 / 8
    assert empty["means"]["ged_v"]["mean"] == pytest.approx(2 * share - 2 * share * (1 - share), abs=1e-6)
    assert empty["false_alarms"] == empty["false_alarms_of_some_member"] == 2
    assert empty["members_with_false_alarm"]["mean"] == pytest.approx(share)
    silent = result["arms"]["theirs"]["by_marks"]["all_empty"]
    assert silent["means"]["ged_v"]["mean"] == silent["false_alarms"] == silent["members_with_false_alarm"]["mean"] == 0
    overall = result["arms"]["diffusion"]["ged_v"]["mean"]
    assert overall == pytest.approx(empty["means"]["ged_v"]["mean"] * 2 / 8, abs=1e-6)
    over_all, where_marked = (result[each]["theirs"]["ged_v"] for each in ("differences", "differences_where_marked"))
    assert where_marked["high"] < 0 < over_all["mean"]
    assert any("In 2 cases no reader marked anything" in sentence for sentence in result["reading"])
    shown = marks_table(result)
    assert shown is not None and ("all readers empty", "theirs, M = 8, R = 4", "2") in {row[:3] for row in shown.rows}


def as_the_empty(count: int) -> dict[str, list[np.ndarray]]:
    """Members that mark nothing where no reader does."""
    return dict.fromkeys(names(8)[6:], [EMPTY] * count)


def test_size_and_presence_beside_the_readers(tmp_path: Path, patients_with_readers: Path) -> None:
    """Sorted sizes of eight members: 0 0 36 36 64 64 64 64; at 50 % from the second to the seventh (k = 2)."""
    ours = drawn_of(tmp_path / "ours", as_the_readers(8))
    narrow = drawn_of(tmp_path / "narrow", {name: [square(8, side=7)] * 8 for name in names(6)} | as_the_empty(8))
    result = evaluate.masks(ours, patients_with_readers, out=tmp_path / "out", against=[narrow])
    arm, other = result["arms"]["diffusion"], result["arms"]["narrow"]
    of_64, of_36, of_0 = 3 / 5, 3 / 3, 1 / 3  # shares of the ranks 4..8, 2..4 and 0..2 that lie in 2..6
    expected = (2 * of_64 + of_36 + of_0) / 4
    assert arm["reader_coverage_50"]["mean"] == pytest.approx(expected) and arm["reader_coverage_50"]["cases"] == 6
    assert arm["reader_coverage_50_exact"]["mean"] == pytest.approx(5 / 9, abs=1e-6)
    assert other["reader_coverage_95"]["mean"] == 0
    assert result["differences"]["narrow"]["reader_coverage_50"]["low"] > 0
    of_class = arm["per_class"]["foreground"]
    assert of_class["reader_coverage_50"] == pytest.approx(expected)
    assert arm["presence_gap"]["mean"] == pytest.approx(0)
    assert other["presence_gap"]["mean"] == pytest.approx(1 / 4 * 6 / 8)
    assert arm["presence_brier"]["mean"] == pytest.approx(3 / 16 * 6 / 8)
    assert other["presence_brier"]["mean"] == pytest.approx(1 / 4 * 6 / 8)
    assert arm["presence_brier_exact"]["mean"] == pytest.approx(3 / 16 * 9 / 8 * 6 / 8, abs=1e-6)
    assert (arm["presence_ece"], other["presence_ece"]) == (0, pytest.approx(1 / 4 * 6 / 8))
    assert of_class["presence_beside_readers"]["bins"]["images"] == [2, 0, 0, 6, 0]
    told = " ".join(result["reading"])
    assert "hold" in told and "was called 56% probable on average, and 56% of the readings have it" in told
    assert "diffusion minus narrow beside the readers, on the same cases, with 95 % intervals over patients" in told


def test_the_number_of_members_and_readers_stands_beside_every_distance(
    tmp_path: Path, patients_with_readers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers that depend on it are compared at one number only, or with a single mask: the same answer any time."""
    ours = drawn_of(tmp_path / "ours", as_the_readers(8))
    fewer = drawn_of(tmp_path / "fewer", as_the_readers(4))
    alone = folder_of(tmp_path / "alone", {name: members[0] for name, members in as_the_readers(4).items()})
    result = evaluate.masks(ours, patients_with_readers, out=tmp_path / "out", against=[fewer, alone])
    differences = result["differences"]
    for name in ("ged_v", "hm_iou", "reader_coverage_80", "presence_brier"):
        assert differences["fewer"][name] is None and differences["fewer"]["ged_u"] is not None
    assert differences["alone"]["ged_v"]["mean"] < 0 and differences["alone"]["ged_u"] is None
    told = " ".join(result["reading"])
    assert "with 8 members beside 4 readers" in told and "diffusion and fewer have 8 and 4 members" in told
    assert "diffusion and alone have" not in told
    assert [(result["arms"][arm]["members"]) for arm in result["arms"]] == [8, 4, 1] and result["readers"] == 4
    shown = capsys.readouterr()
    assert "fewer, M = 4, R = 4" in shown.out + shown.err and "alone, M = 1, R = 4" in shown.out + shown.err
    counts = {(row["arm"], row["members"], row["readers"]) for row in rows(tmp_path / "out" / "scores.csv")}
    assert counts == {("diffusion", "8", "4"), ("fewer", "4", "4"), ("alone", "1", "4")}
    section = scores_section(tmp_path / "out")
    tables = {block.title: block for block in section.blocks if isinstance(block, Table)}
    shown_readers = next(table for title, table in tables.items() if title.startswith("Readers:"))
    assert shown_readers.columns[1:4] == ("diffusion, M = 8, R = 4", "fewer, M = 4, R = 4", "alone, M = 1, R = 4")
    cells = {row[0]: row[4:6] for row in shown_readers.rows}
    assert cells["GED² (V)"][0] == DASH != cells["GED² (V)"][1] and cells["GED² (U)"][0] != DASH
    assert not {"members", "readers"} & {row[0] for table in tables.values() for row in table.rows}
    assert "Is it there at all?" in tables


def test_no_vote_of_the_readers_is_a_reference(tmp_path: Path, readers: Path) -> None:
    """What both readers have is the vote whose ties are background: against each of them it is half right."""
    inner = folder_of(tmp_path / "inner", dict.fromkeys(names(6), square(8, side=6)))
    result = evaluate.masks(inner, readers, out=tmp_path / "out")
    assert result["arms"]["inner"]["dice"]["mean"] == pytest.approx((2 * 36 / (36 + 64) + 1) / 2)
    probability = result["arms"]["inner"]["per_class"]["foreground"]["presence_beside_readers"]["probability"]
    assert probability == 1, "a single mask without probabilities is there or not"


def test_a_single_mask_with_probabilities_says_how_probable_presence_is(tmp_path: Path, readers: Path) -> None:
    """The largest probability of a pixel; the members' folder is not there."""
    drawn = {name: [square(8), square(8), square(8), EMPTY] for name in names(6)}
    predictions = drawn_of(tmp_path / "predictions", drawn)
    shutil.rmtree(predictions / "members")
    arm = evaluate.masks(predictions, readers, out=tmp_path / "out")["arms"]["diffusion"]
    assert arm["members"] == 1
    assert arm["presence_brier"]["mean"] == pytest.approx((1 - 0.75) ** 2, abs=1e-4)
    assert arm["presence_brier_exact"]["mean"] == 0


def test_maps_that_are_gone_are_said(tmp_path: Path, readers: Path) -> None:
    predictions = ensemble(
        tmp_path / "predictions", {name: [square(8)] for name in names(6)}, doubt=dict.fromkeys(names(6), 0.1)
    )
    (predictions / "probability").rename(tmp_path / "elsewhere")
    result = evaluate.masks(predictions, readers, out=tmp_path / "out")
    assert "ece" not in result["arms"]["diffusion"] and "error_auroc" in result["arms"]["diffusion"]
    assert any("probability/" in note for note in result["notes"])


def test_processes_change_nothing(tmp_path: Path, readers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WORTH", 1)
    drawn = folder_of(tmp_path / "drawn", {name: square(k) for k, name in enumerate(names(6))})
    one, two = (evaluate.masks(drawn, readers, out=tmp_path / f"{n}", workers=n) for n in (1, 2))
    assert {**one, "scores": ""} == {**two, "scores": ""}
    assert (tmp_path / "1" / "scores.csv").read_text() == (tmp_path / "2" / "scores.csv").read_text()


@pytest.mark.parametrize("words", ["dice,hausdorff", "dice:2", "nsd:-1", "nsd:far"])
def test_metrics_that_do_not_exist_are_refused(words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--metrics"):
        evaluate.masks(tmp_path, tmp_path, out=tmp_path / "out", metrics=words)


def test_masks_alone_have_no_image(tmp_path: Path) -> None:
    reference = folder_of(tmp_path / "reference", dict.fromkeys(names(2), square(8)))
    drawn = folder_of(tmp_path / "drawn", dict.fromkeys(names(2), square(10)))
    evaluate.masks(drawn, reference, out=tmp_path / "out")
    for row in rows(tmp_path / "out" / "scores.csv"):
        assert row["image"] == "" and found(row["reference"], tmp_path / "out") == reference / f"{row['id']}.png"
    (worst, *_) = [block for block in scores_section(tmp_path / "out").blocks if block.title == "Worst cases"]
    assert "images are not known" in worst.caption and worst.pictures[0].light


def test_the_image_of_masks_alone_is_that_of_the_predictions_manifest(tmp_path: Path) -> None:
    reference = folder_of(tmp_path / "reference", dict.fromkeys(names(2), square(8)))
    images = folder_of(tmp_path / "scans", dict.fromkeys(names(1), square(0, side=SIDE, value=99)))
    folder_of(tmp_path / "drawn" / "masks", dict.fromkeys(names(2), square(10)))
    lines = [f"{name},../scans/{name}.png,masks/{name}.png,{place}" for place, name in enumerate(names(2), start=1)]
    (tmp_path / "drawn" / "manifest.csv").write_text("\n".join(["id,image,mask,review_rank", *lines]))
    (tmp_path / "drawn" / "summary.json").write_text("{}")
    evaluate.masks(tmp_path / "drawn", reference, out=tmp_path / "out")
    first, second = rows(tmp_path / "out" / "scores.csv")
    assert found(first["image"], tmp_path / "out") == images / "case00.png"
    assert second["image"] == ""  # it is not there


def test_volumes_of_labels_alone_have_no_image(tmp_path: Path) -> None:
    truth = np.zeros((6, 6, 4), int)
    truth[1:4, 1:4, 1:3] = 1
    labels = {"background": 0, "organ": 1}
    reference = nnunet(tmp_path / "labelsTr", {"a": truth}, affine=AFFINE, labels=labels)
    drawn = nnunet(tmp_path / "fold", {"a": truth}, affine=AFFINE, labels=labels)
    evaluate.masks(drawn, reference, out=tmp_path / "out")
    (row,) = rows(tmp_path / "out" / "scores.csv")
    volume, _, plane = row["reference"].partition("::")
    assert row["image"] == "" and found(volume, tmp_path / "out") == reference / "a.nii.gz" and plane == "axial/0"


def test_values_of_references_that_are_called_ignore_count_nowhere(tmp_path: Path) -> None:
    """Pictures, with images and alone; their 0 is what nobody drew."""
    truth, drawn = square(8, value=1) + square(16, value=2), np.full((SIDE, SIDE), 2, np.uint8)
    drawn[8:16, 8:16] = 1
    images = {name: np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) + n for n, name in enumerate(names(4))}
    alone = folder_of(tmp_path / "alone", dict.fromkeys(names(4), truth))
    folder_of(tmp_path / "both" / "masks", dict.fromkeys(names(4), truth))
    folder_of(tmp_path / "both" / "images", images)
    predicted = folder_of(tmp_path / "drawn", dict.fromkeys(names(4), drawn))
    plain = evaluate.masks(predicted, alone, out=tmp_path / "plain")
    assert plain["arms"]["drawn"]["per_class"]["class 2"]["dice"] < 0.2
    for reference in (alone, tmp_path / "both"):
        result = evaluate.masks(
            predicted, reference, out=tmp_path / f"out_{reference.name}", class_names="0=ignore, 1=tumour, 2=stroma"
        )
        by_class = result["arms"]["drawn"]["per_class"]
        assert {name: of["dice"] for name, of in by_class.items()} == {"tumour": 1.0, "stroma": 1.0}
        assert any("count nowhere" in note for note in result["notes"])


def test_values_of_volumes_that_are_called_ignore_count_nowhere(tmp_path: Path) -> None:
    truth, drawn = np.zeros((6, 6, 4), int), np.zeros((6, 6, 4), int)
    truth[1:4, 1:4, 1:3], drawn[1:4, 1:4, 1:3] = 1, 1
    truth[4:, 4:], drawn[4:, 4:] = 3, 1
    labels = {"background": 0, "organ": 1, "unclear": 3}
    reference = nnunet(tmp_path / "truth", {"a": truth, "b": truth}, affine=AFFINE, labels=labels)
    drawn_folder = nnunet(tmp_path / "fold", {"a": drawn, "b": drawn}, affine=AFFINE)
    said = {"class_names": "1=organ,3=ignore", "metrics": "dice,hd95"}
    arm = evaluate.masks(drawn_folder, reference, out=tmp_path / "out", **said)["arms"]["fold"]
    assert arm["dice"]["mean"] == 1 and arm["hd95"]["mean"] == 0
    told = evaluate.masks(drawn_folder, reference, out=tmp_path / "told")["arms"]["fold"]
    assert told["dice"]["mean"] < 1


def test_a_prepared_dataset_has_its_classes_already(tmp_path: Path) -> None:
    reference = prepare(
        dataset(tmp_path / "source", dict.fromkeys(names(8), square(8))),
        out=tmp_path / "dataset",
        preparation=Preparation(size=SIDE),
    ).folder
    with pytest.raises(UsageError, match=r"(?s)--class-names 0=ignore.*prepared dataset.*leave --class-names out"):
        evaluate.masks(tmp_path / "source" / "masks", reference, out=tmp_path / "out", class_names="0=ignore")
