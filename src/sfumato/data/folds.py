"""The folds of a cross-validation: followed, searched for patients whom they tear, and read and written for nnU-Net.

splits_final.json    [{"train": ["case", ...], "val": ["case", ...]}, ...]    the names of cases, or of volumes
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sfumato.atomic import write_atomic
from sfumato.data.manifest import SPLITS, Case
from sfumato.errors import DataError, UsageError, listed
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

SPLITS_NAME = "splits_final.json"
_PARTS = {"train": "train", "val": "validation"}
"""Splits by nnU-Net's names for them."""

Fold = Mapping[str, str]
"""The split of each case or volume by its name."""


def fold_name(case: Case) -> str:
    """By what a case is called in the lists of folds: its volume, else itself."""
    return case.volume or case.id


def follow(cases: Sequence[Case], folds: Sequence[Fold], fold: int) -> list[Case]:
    """The cases with the split that they have in a fold of the source; cases that it does not name keep what they have.

    The names are those of volumes or cases, or else of patients.

    Raises:
        UsageError: there is no such fold.
    """
    if not 0 <= fold < len(folds):
        raise UsageError(f"there is no fold {fold}", expected=f"0 to {len(folds) - 1}")
    splits = folds[fold]
    named = [fold_name(case) for case in cases]
    keys = named if splits.keys() & set(named) else [case.patient or "" for case in cases]
    return [replace(case, split=splits.get(key, case.split)) for case, key in zip(cases, keys, strict=True)]


def torn_patients(cases: Sequence[Case], folds: Sequence[Fold] = ()) -> list[str]:
    """Patients whom the source has in several splits, or a fold of it, each with these splits."""
    torn: dict[str, str] = {}
    for divided in [cases, *(follow(cases, folds, number) for number in range(len(folds)))]:
        splits: dict[str, set[str]] = defaultdict(set)
        for case in divided:
            if case.patient and case.split:
                splits[case.patient].add(case.split)
        for patient, found in splits.items():
            if len(found) > 1:
                torn.setdefault(patient, f"{patient}: {', '.join(name for name in SPLITS if name in found)}")
    return list(torn.values())


def read_splits(path: Path) -> tuple[Mapping[str, str], ...]:
    """The folds of a `splits_final.json`: for each, the split of each case by its name.

    Raises:
        DataError: it is damaged or of another form, or a case is in both parts of a fold.
    """
    try:
        content = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise_shortage(error, reading=path)
        raise DataError(f"{path} cannot be read: {error}", expected="a whole JSON file", code="DATA-066") from error
    if not (
        isinstance(content, list)
        and content
        and all(isinstance(fold, dict) and all(isinstance(fold.get(part), list) for part in _PARTS) for fold in content)
    ):
        finding = f"{path} is not of the form of nnU-Net's folds"
        raise DataError(finding, expected='[{"train": ["case", ...], "val": [...]}, ...]', code="DATA-066")
    if both := sorted(
        {str(name) for fold in content for name in set(map(str, fold["train"])) & set(map(str, fold["val"]))}
    ):
        finding = f"{path}: {len(both)} cases are in both parts of a fold:\n{listed(both)}"
        raise DataError(finding, expected="each case in one part", code="DATA-066")
    return tuple({str(name): split for part, split in _PARTS.items() for name in fold[part]} for fold in content)


def write_splits(path: Path, folds: Sequence[Mapping[str, str]]) -> None:
    """Write folds as nnU-Net reads them. What is for testing is in no part.

    Args:
        path: the `splits_final.json`.
        folds: for each fold, the split ("train", "validation" or "test") of each case by its name.
    """
    content = [
        {part: sorted(name for name, split in fold.items() if split == ours) for part, ours in _PARTS.items()}
        for fold in folds
    ]
    write_atomic(path, json.dumps(content, indent=4) + "\n")
