"""`sfumato evaluate masks`: scores of every case, with intervals, beside the deterministic twin."""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from sfumato.commands.output.console import console, say
from sfumato.commands.output.folder import output_folder
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.formats.volume import place_in
from sfumato.data.manifest import is_prepared, read_rows
from sfumato.data.mask import IGNORED, MaskRule, class_names, count_values, mask_rule
from sfumato.data.pack import Pack
from sfumato.data.source import find_cases
from sfumato.data.units import Form, Unit, units
from sfumato.errors import DataError, listed
from sfumato.metrics.ensemble import ged, matched_iou
from sfumato.metrics.interval import Interval, difference_interval, mean_interval
from sfumato.metrics.overlap import Overlap, overlap, summarise
from sfumato.provenance import write_provenance
from sfumato.run import TWIN

BOOTSTRAP_SEED = 0
FORMS: tuple[Form, ...] = ("png", "same")
"""Predictions are of single planes or of whole volumes; references are known by both names."""

DETERMINISTIC = "deterministic twin"


class Arm(NamedTuple):
    """The scores of one model.

    Attributes:
        folder: its predictions.
        name: what is printed, e.g. diffusion.
        calls: network calls for one case.
        cases: overlap of each case with each reader, by id: the mean over readers counts.
        overlaps: one for each case and reader, for the summary.
        diversity: GED (U) and HM-IoU of each case, where there are several members and readers.
    """

    folder: Path
    name: str
    calls: int
    cases: Mapping[str, Overlap]
    overlaps: Sequence[Overlap]
    diversity: Mapping[str, Mapping[str, float]]


class References(NamedTuple):
    """True masks: images and volumes by id, and what their stored values mean."""

    units: Mapping[str, Unit]
    rule: MaskRule
    classes: tuple[str, ...]


def masks(predictions: Path, reference: Path, /, *, out: Path, overwrite: bool = False) -> dict[str, Any]:
    """Dice and IoU of every case, with bootstrap intervals; the twin's beside them where it was predicted too.

    Args:
        predictions: A folder written by `sfumato segment`.
        reference: The true masks: a dataset, a folder of images and masks, or a folder of masks alone.
        out: The folder to write.
        overwrite: Replace a folder that is not empty.
    """
    truth = _references(reference)
    arms = [_arm(predictions, truth)]
    if (predictions / TWIN / "manifest.csv").is_file():
        arms.append(_arm(predictions / TWIN, truth))
    summary = _summary(arms, truth)
    with output_folder(out, overwrite=overwrite, inputs=[predictions]) as folder:
        _write_scores(folder, arms, truth)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        write_provenance(folder, inputs={"predictions": predictions, "reference": reference}, seed=BOOTSTRAP_SEED)
    _show(arms, summary)
    say(f"scores of {len(arms[0].cases)} cases in {out}")
    return {"scores": str(out), **summary}


def _references(reference: Path) -> References:
    """True masks in any form that a person has them."""
    if is_prepared(reference):
        pack = Pack.open(reference)
        if pack.spec.mask_rule is None:
            raise DataError(f"{reference} has no masks", expected="a dataset for segmentation", code="DATA-023")
        cases, rule, classes = pack.cases, pack.spec.mask_rule, pack.spec.mask_classes
    else:
        found = find_cases(reference)
        cases = found.cases
        if found.kind == "generate":  # a folder of masks alone
            cases = tuple(replace(case, masks=(case.image,)) for case in cases)
        counts: Counter[int] = Counter()
        for case in cases:
            for mask in case.masks:
                counts.update(count_values(read_mask(mask)))
        rule = mask_rule(counts, found.mask_names, found.ignore)
        classes = class_names(rule, found.mask_names)
    return References({unit.id: unit for form in FORMS for unit in units(cases, form)}, rule, classes)


def _arm(folder: Path, truth: References) -> Arm:
    rows = read_rows(folder / "manifest.csv")
    missing = [row["id"] for row in rows if row["id"] not in truth.units]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(rows)} predictions have no reference:\n{listed(missing)}",
            expected="a true mask for every predicted one", code="SCORE-003",
        )  # fmt: skip
    about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    per_case: dict[str, Overlap] = {}
    overlaps: list[Overlap] = []
    diversity: dict[str, dict[str, float]] = {}
    for row in rows:
        unit = truth.units[row["id"]]
        readers = _true_masks(unit, truth.rule)
        predicted = _predicted(folder / row["mask"], unit, truth.rule)
        scored = [_overlap(predicted, reader, truth.rule, unit.id) for reader in readers]
        overlaps.extend(scored)
        per_case[unit.id] = _mean_overlap(scored)
        members = sorted(file for file in (folder / "members").glob(f"{unit.id}_*") if _is_member(file, unit.id))
        if len(members) > 1 and len(readers) > 1:
            drawn = np.stack([_predicted(member, unit, truth.rule) for member in members])
            said = (readers != IGNORED).all(axis=0)
            diversity[unit.id] = _diversity(drawn * said, readers * said, truth.rule.classes)
    name = DETERMINISTIC if about["process"] == "none" else "diffusion"
    return Arm(folder, name, about["network_calls"], per_case, overlaps, diversity)


def _true_masks(unit: Unit, rule: MaskRule) -> np.ndarray:
    """Class indices of each reader: (readers, h, w), or (readers, planes, h, w) of a volume."""
    planes = np.stack([[rule.apply(read_mask(mask)) for mask in case.masks] for case in unit.cases], axis=1)
    return planes if _whole_volume(unit) else planes[:, 0]


def _predicted(file: Path, unit: Unit, rule: MaskRule) -> np.ndarray:
    """Class indices of a predicted mask, in the shape of the unit's references."""
    if not is_volume(file):
        return rule.apply(read_mask(str(file)))
    volume = read_volume(file)
    places = [place_in(volume, Locator.parse(case.masks[0])) for case in unit.cases]
    planes = volume.planes(places[0].axis)[[place.number for place in places]]
    classes = planes if is_dicom(file) else np.stack([rule.apply(plane) for plane in planes])
    return classes if _whole_volume(unit) else classes[0]


def _whole_volume(unit: Unit) -> bool:
    return unit.cases[0].volume == unit.id


def _is_member(file: Path, name: str) -> bool:
    """Whether a file is a member of this case, not of one whose name goes on with digits."""
    return re.fullmatch(rf"{re.escape(name)}_\d\d\.(png|nii\.gz)", file.name) is not None


def _overlap(predicted: np.ndarray, reader: np.ndarray, rule: MaskRule, name: str) -> Overlap:
    """Overlap on the pixels that the reader says something about."""
    if predicted.shape == reader.shape and rule.ignore is not None:
        predicted, reader = predicted[reader != IGNORED], reader[reader != IGNORED]
    return overlap(predicted, reader, classes=rule.classes, case=name)


def _mean_overlap(scored: Sequence[Overlap]) -> Overlap:
    """Mean over the readers of a case."""
    return Overlap(
        dice=np.mean([one.dice for one in scored], axis=0),
        iou=np.mean([one.iou for one in scored], axis=0),
        in_prediction=scored[0].in_prediction,
        in_reference=np.any([one.in_reference for one in scored], axis=0),
    )


def _diversity(members: np.ndarray, readers: np.ndarray, classes: int) -> dict[str, float]:
    energy = ged(members, readers, classes=classes)
    return {
        "ged_u": energy.u,
        "ged_v": energy.v,
        "ged_v_floor": energy.floor,
        "hm_iou": matched_iou(members, readers, classes=classes),
    }


def _summary(arms: Sequence[Arm], truth: References) -> dict[str, Any]:
    """Means, intervals and the difference from the twin."""
    summary: dict[str, Any] = {"cases": len(arms[0].cases), "arms": {}}
    for arm in arms:
        dice, iou = _values(arm, "dice"), _values(arm, "iou")
        summary["arms"][arm.name] = {
            "network_calls": arm.calls,
            "dice": _rounded(mean_interval(dice, seed=BOOTSTRAP_SEED)),
            "iou": _rounded(mean_interval(iou, seed=BOOTSTRAP_SEED)),
            **{name: float(np.mean([d[name] for d in arm.diversity.values()])) for name in _first(arm.diversity)},
            "per_class": {
                name: _finite(one._asdict())
                for name, one in zip(truth.classes[1:], summarise(list(arm.overlaps)), strict=True)
            },
        }
    summary["foreground_mean"] = {key: summary["arms"][arms[0].name][key]["mean"] for key in ("dice", "iou")}
    if len(arms) > 1:
        difference = difference_interval(_values(arms[0], "dice"), _values(arms[1], "dice"), seed=BOOTSTRAP_SEED)
        summary["difference"] = {"dice": _rounded(difference), "of": [arm.name for arm in arms]}
    return summary


def _first(diversity: Mapping[str, Mapping[str, float]]) -> list[str]:
    return list(next(iter(diversity.values()), {}))


def _values(arm: Arm, metric: str) -> np.ndarray:
    """One number for each case: mean over foreground classes."""
    return np.array([float(getattr(case, metric).mean()) for case in arm.cases.values()])


def _rounded(interval: Interval) -> dict[str, float | None]:
    return _finite({"mean": interval.mean, "low": interval.low, "high": interval.high, "level": interval.level})


def _finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers for JSON: six decimals, null where one is unknown."""
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in numbers.items()}


def _shown(interval: Mapping[str, float | None]) -> str:
    """Mean and interval for the person."""
    return "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**{k: math.nan if v is None else v for k, v in interval.items()})


def _write_scores(folder: Path, arms: Sequence[Arm], truth: References) -> None:
    """`scores.csv`: one row for each case, class and model."""
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["id", "class", "arm", "dice", "iou", "uncertainty", "patient", "split", "image", "reference", "prediction"]
        )
        for arm in arms:
            for row in read_rows(arm.folder / "manifest.csv"):
                name, scored, case = row["id"], arm.cases[row["id"]], truth.units[row["id"]].cases[0]
                files = [case.image, case.masks[0], str((arm.folder / row["mask"]).resolve())]
                for k, label in enumerate(truth.classes[1:]):
                    values = [round(float(scored.dice[k]), 6), round(float(scored.iou[k]), 6)]
                    writer.writerow(
                        [
                            name,
                            label,
                            arm.name,
                            *values,
                            row["uncertainty"],
                            case.patient or "",
                            case.split or "",
                            *files,
                        ]
                    )


def _show(arms: Sequence[Arm], summary: Mapping[str, Any]) -> None:
    table = Table("model", "network calls", "Dice [95 % interval]", "IoU")
    for arm in arms:
        scores = summary["arms"][arm.name]
        table.add_row(arm.name, str(arm.calls), _shown(scores["dice"]), f"{scores['iou']['mean']:.3f}")
    console.print(table)
    if "difference" in summary:
        say(f"Dice of {arms[0].name} minus that of its twin: {_shown(summary['difference']['dice'])}")
