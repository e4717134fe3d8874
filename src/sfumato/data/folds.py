"""The file in which nnU-Net (version 2) keeps the folds of a cross-validation, read and written.

splits_final.json    [{"train": ["case", ...], "val": ["case", ...]}, ...]
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfumato.atomic import write_atomic
from sfumato.errors import DataError, listed
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

SPLITS_NAME = "splits_final.json"
PARTS = {"train": "train", "val": "validation"}
"""Splits by nnU-Net's names for them."""


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
        and all(isinstance(fold, dict) and all(isinstance(fold.get(part), list) for part in PARTS) for fold in content)
    ):
        finding = f"{path} is not of the form of nnU-Net's folds"
        raise DataError(finding, expected='[{"train": ["case", ...], "val": [...]}, ...]', code="DATA-066")
    if both := sorted(
        {str(name) for fold in content for name in set(map(str, fold["train"])) & set(map(str, fold["val"]))}
    ):
        finding = f"{path}: {len(both)} cases are in both parts of a fold:\n{listed(both)}"
        raise DataError(finding, expected="each case in one part", code="DATA-066")
    return tuple({str(name): split for part, split in PARTS.items() for name in fold[part]} for fold in content)


def write_splits(path: Path, folds: Sequence[Mapping[str, str]]) -> None:
    """Write folds as nnU-Net reads them. What is for testing is in no part.

    Args:
        path: the `splits_final.json`.
        folds: for each fold, the split ("train", "validation" or "test") of each case by its name.
    """
    content = [
        {part: sorted(name for name, split in fold.items() if split == ours) for part, ours in PARTS.items()}
        for fold in folds
    ]
    write_atomic(path, json.dumps(content, indent=4) + "\n")
