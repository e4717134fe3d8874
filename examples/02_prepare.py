"""A source is decoded once: arrays on disk, a split by patient, and what a model must know of its data."""

import tempfile
from pathlib import Path

from sfumato import Preparation, prepare
from sfumato.data.toys.toy import make_toy

with tempfile.TemporaryDirectory() as name:
    make_toy(Path(name) / "scans", cases=20, size=48, readers=2)
    preparation = Preparation(size=32, split=(0.6, 0.2, 0.2), seed=1)
    prepared = prepare(Path(name) / "scans", out=Path(name) / "dataset", preparation=preparation)
    for note in prepared.summary["notes"]:
        print("note:", note)

    dataset = prepared.dataset  # opened again with Dataset.open(folder)
    assert dataset.spec.size == (32, 32) and dataset.spec.readers == 2
    rows = dataset.rows("train")
    patients = {dataset.cases[row].patient for row in rows}
    assert not patients & {dataset.cases[row].patient for row in dataset.rows("test")} - {None}

    images = dataset.images(rows)  # float32 in [-1, 1]; only these rows are read
    second = dataset.masks(rows, readers=[1] * len(rows))  # class indices, of the second reader
    assert images.shape == (12, 3, 32, 32) and images.min() >= -1 and images.max() <= 1
    assert second.shape == (12, 32, 32) and set(second.unique().tolist()) == {0, 1}
