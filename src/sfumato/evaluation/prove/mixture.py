"""REAL and SAMPLES in one dataset, in the form of REAL: the real training images, the synthetic ones, the test images.

Row i of the real training images is row i of the mixture, synthetic image j of n real ones is row n + j. Synthetic
images are never tested on, real ones of the validation split are not used, unless the test split is too small: nothing
is chosen on them here. The mixture is a prepared dataset, written once and opened by every process that trains.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.atomic import write_atomic
from sfumato.data.dataset import Dataset
from sfumato.data.formats.archive import open_array, read_array
from sfumato.data.formats.image import read_mask
from sfumato.data.intensity import FULL, Intensity
from sfumato.data.manifest import Case, is_prepared, write_manifest
from sfumato.data.mask import MaskRule, count_values, mask_rule
from sfumato.data.placement import Placement, fit_canvas
from sfumato.data.preparation.store import FORMAT, ArrayForm, create
from sfumato.data.source import DiscoveredDataset, find_cases
from sfumato.data.spec import Input, Spec, read_input
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_FEW = 20
"""With fewer test cases of a class than this, the validation cases are tested on too."""

_BYTES = Intensity("unit", 0.0, 255.0, "as the model made it: 0 is black, 255 is white")


class Samples(NamedTuple):
    """Synthetic cases and, with masks, what the values of these mean."""

    cases: tuple[Case, ...]
    rule: MaskRule | None
    notes: tuple[str, ...]


class Allocation(NamedTuple):
    """Who goes where.

    Attributes:
        trained: rows of REAL to train on.
        tested: rows of REAL to test on.
        notes: what a reader must know about the test.
    """

    trained: tuple[int, ...]
    tested: tuple[int, ...]
    notes: tuple[str, ...]


def synthetic_cases(folder: Path, real: str | None) -> DiscoveredDataset:
    """The synthetic cases of a folder: those that say so, or all where none does; the notes tell of the others.

    Args:
        folder: SAMPLES.
        real: the sha256 of REAL: what a mixture took from there is real here, also where REAL is made up, as toys are.
    """
    found = find_cases(folder)
    said = tuple(case for case in found.cases if case.origin == "synthetic" and (real is None or case.source != real))
    others = len(found.cases) - len(said)
    if not said:
        return found._replace(notes=("nothing in SAMPLES says that it is synthetic: it was taken as such",))
    if not others:
        return found._replace(cases=said, notes=())
    note = f"{others} of {len(found.cases)} images of SAMPLES are real: they were left out"
    return found._replace(cases=said, notes=(note,))


def usable_samples(found: DiscoveredDataset, folder: Path, spec: Spec, *, masks: bool) -> Samples:
    """Synthetic cases that models can be trained on in the place of REAL's, by their masks or by their classes.

    Args:
        found: see `synthetic_cases`.
        folder: where they were found.
        spec: of REAL.
        masks: whether masks are what is trained on.

    Raises:
        DataError: a case has no class, one that REAL does not know, or no mask.
    """
    cases = found.cases
    faults = list(filter(None, [_fault(case, spec, masks=masks) for case in cases]))
    if faults:
        raise DataError(
            f"{folder}: {len(faults)} of {len(cases)} images cannot be trained on:\n{listed(faults)}",
            expected="a mask for each" if masks else f"the classes of REAL: {', '.join(spec.classes)}",
            code="SCORE-021",
        )
    rule = _samples_rule(folder, cases, spec, found.mask_names, found.ignore) if masks else None
    return Samples(cases, rule, found.notes)


def _fault(case: Case, spec: Spec, *, masks: bool) -> str:
    """Why a case cannot be trained on; empty if it can."""
    if masks:
        return "" if case.masks else f"{case.id}: no mask"
    if not case.label:
        return f"{case.id}: no class"
    return "" if case.label in spec.classes else f"{case.id}: class {case.label}"


def _samples_rule(
    folder: Path, cases: Sequence[Case], spec: Spec, names: Mapping[int, str], ignore: int | None
) -> MaskRule:
    """What values of the masks mean: the same as in REAL where they fit, else what they look like."""
    own = Dataset.open(folder).spec.mask_rule if is_prepared(folder) else None
    if own is not None:
        return own
    assert spec.mask_rule is not None
    counts: Counter[int] = Counter()
    for case in cases:
        counts.update(count_values(read_mask(case.masks[0])))
    if spec.mask_rule.threshold is None and set(counts) <= {*spec.mask_rule.values, spec.mask_rule.ignore}:
        return spec.mask_rule
    rule = mask_rule(counts, names, ignore)
    if rule.classes != spec.mask_rule.classes:
        raise DataError(
            f"{folder}: {rule.text}",
            expected=f"masks with the classes of REAL: {spec.mask_rule.text}",
            code="SCORE-021",
        )
    return rule


def choose_parts(dataset: Dataset, *, by_class: bool) -> Allocation:
    """The training part of REAL, and what is tested on.

    Raises:
        DataError: some of REAL is synthetic, or nothing is there to train or to test on.
    """
    notes = list[str]()
    if _is_made_up(dataset):
        notes.append("all of REAL says that it is synthetic: a toy, about which nothing is proven")
    trained, tested = dataset.rows("train"), dataset.rows("test")
    smallest = _smallest(dataset, tested, by_class=by_class)
    if smallest < _FEW and dataset.rows("validation"):
        tested += dataset.rows("validation")
        whose = " of its smallest class" if by_class else ""
        notes.append(
            f"the test split has {counted(smallest, 'case')}{whose}: "
            "the validation split is tested on too, which is sound here since nothing was chosen on it"
        )
    _refuse_nothing(dataset, trained, tested, by_class=by_class)
    patients = sum(dataset.cases[row].patient is not None for row in tested)
    if patients < len(tested):
        notes.append(
            "patients are not known: every image counts as a case of its own, and if several are of one patient, the "
            "intervals are too narrow and the split may leak"
        )
    return Allocation(tuple(trained), tuple(tested), tuple(notes))


def _is_made_up(dataset: Dataset) -> bool:
    """Whether all of REAL is synthetic, as toys are; that some of it is is refused."""
    made = [case.id for case in dataset.cases if case.origin == "synthetic"]
    if 0 < len(made) < len(dataset):
        raise DataError(
            f"{len(made)} of {len(dataset)} cases of REAL are synthetic:\n{listed(made)}",
            expected="real images alone: synthetic ones come as SAMPLES",
            code="SCORE-023",
        )
    return bool(made)


def _refuse_nothing(dataset: Dataset, trained: Sequence[int], tested: Sequence[int], *, by_class: bool) -> None:
    """Refuse to train or to test on nothing, and a test of a single class."""
    one_class = by_class and len({dataset.cases[row].label for row in tested}) < 2
    if not trained or not tested or one_class:
        raise DataError(
            f"REAL has {len(trained)} training and {len(tested)} test cases",
            expected="some of both, the test with two classes at least",
            code="SCORE-023",
        )


def _smallest(dataset: Dataset, rows: Sequence[int], *, by_class: bool) -> int:
    """Cases of the smallest class of REAL among these rows; without classes, all of them."""
    if not by_class:
        return len(rows)
    count = Counter(dataset.cases[row].label for row in rows)
    return min(count[name] for name in dataset.spec.classes)


def mix(
    real: Path, dataset: Dataset, parts: Allocation, samples: Samples, out: Path, *, progress: Callable[[int], None]
) -> Dataset:
    """Write the mixture, unless it is there already, and open it; `notes` of it tell of copies of training images.

    Args:
        real: the folder of `dataset`.
        dataset: REAL.
        parts: who goes where.
        samples: the synthetic cases.
        out: the folder to write; complete when it has `dataset.json`.
        progress: told how many synthetic images are read.

    Raises:
        DataError: an image of SAMPLES cannot be read, or is an image of the test.
    """
    spec = dataset.spec if samples.rule else dataset.spec.without_masks()
    if not _is_whole(out, spec):
        out.mkdir(parents=True, exist_ok=True)
        images = _write_arrays(real, spec, parts, samples, out, progress=progress)
        notes = _compare(images, parts, samples, dataset)
        _describe(out, spec, _cases(dataset, parts, samples), notes)
    return Dataset.open(out)


def _write_arrays(
    real: Path, spec: Spec, parts: Allocation, samples: Samples, out: Path, *, progress: Callable[[int], None]
) -> np.ndarray:
    """The images and masks of the mixture: those of training, the synthetic ones, those of the test."""
    count = len(parts.trained) + len(samples.cases) + len(parts.tested)
    form = ArrayForm(spec.canvas, spec.channels, spec.stored_dtype.name, spec.intensity, samples.rule, spec.readers)
    arrays = create(out, [spec.common_size] * count, form)
    inputs = _Reading(spec, samples, progress)
    images = read_array(real / "images.npy")
    rows = chain(_of(images, parts.trained), inputs.images(), _of(images, parts.tested))
    _fill(arrays.images, arrays.images_start, rows)
    if spec.has_masks:
        masks = read_array(real / "masks.npy")
        rows = chain(_of(masks, parts.trained), inputs.masks(), _of(masks, parts.tested))
        _fill(arrays.masks, arrays.masks_start, rows)
    return open_array(arrays.images)


def _is_whole(out: Path, spec: Spec) -> bool:
    """Whether the mixture is there already; version 0.1 could leave one that lacks the masks that it announces."""
    try:
        return Dataset.open(out).spec == spec
    except DataError:
        return False


def _of(array: np.ndarray, rows: Sequence[int]) -> Iterator[np.ndarray]:
    return (array[row] for row in rows)


def _fill(path: Path, start: int, rows: Iterable[np.ndarray]) -> None:
    """Write rows one after another behind the header of an array file."""
    with path.open("r+b") as file:
        file.seek(start)
        for row in rows:
            file.write(row.tobytes())


class _Reading:
    """The synthetic cases in the form of REAL; masks need the places that the images were given."""

    def __init__(self, spec: Spec, samples: Samples, progress: Callable[[int], None]) -> None:
        self.spec, self.samples, self.progress = spec, samples, progress
        self._places: list[Placement] = []

    def images(self) -> Iterator[np.ndarray]:
        """Each as prepared images are stored."""
        for done, case in enumerate(self.samples.cases, start=1):
            image = stored_input(case, self.spec)
            self._places.append(image.placement)
            self.progress(done)
            yield image.array

    def masks(self) -> Iterator[np.ndarray]:
        """One mask for each reader of REAL, all the same."""
        assert self.samples.rule is not None
        for case, place in zip(self.samples.cases, self._places, strict=True):
            classes = self.samples.rule.apply(read_mask(case.masks[0]))
            fitted = fit_canvas(classes, place, nearest=True)
            yield np.broadcast_to(fitted, (self.spec.readers, *self.spec.common_size))


def stored_input(case: Case, spec: Spec) -> Input:
    """What a model made holds the model's own numbers, from black to white; another image is read as those of REAL."""
    if case.origin != "synthetic" or "seed" not in case.more:
        return read_input(case, spec)
    read = read_input(case, replace(spec, dtype="uint8", intensity=_BYTES, spacing=None))
    if spec.stored_dtype == np.uint8:
        return read
    return read._replace(array=read.array.astype(np.uint16) * (FULL // 255))


def _compare(images: np.ndarray, parts: Allocation, samples: Samples, dataset: Dataset) -> tuple[str, ...]:
    """Refuse synthetic images that are test images pixel by pixel, and count those that are training images."""
    keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    first, end = len(parts.trained), len(parts.trained) + len(samples.cases)
    trained, made = set(keys[:first]), keys[first:end]
    tested = {key: dataset.cases[row].id for key, row in zip(keys[end:], parts.tested, strict=True)}
    same = [f"{case.id} is {tested[key]}" for case, key in zip(samples.cases, made, strict=True) if key in tested]
    if same:
        raise DataError(
            f"{counted(len(same), 'image')} of SAMPLES found in the test of REAL, pixel by pixel:\n{listed(same)}",
            expected="images that a model made, or others that are not tested on",
            code="SCORE-020",
        )
    copies = sum(key in trained for key in made)
    if not copies:
        return ()
    return (f"{copies} of {len(made)} images of SAMPLES are training images of REAL, pixel by pixel",)


def _cases(dataset: Dataset, parts: Allocation, samples: Samples) -> list[Case]:
    """The rows of the mixture."""
    bare: dict[str, Any] = {"more": {}} if samples.rule else {"more": {}, "masks": ()}
    real = [replace(dataset.cases[row], split="train", **bare) for row in parts.trained]
    tested = [replace(dataset.cases[row], split="test", **bare) for row in parts.tested]
    made = [
        replace(case, id=f"samples/{case.id}", split="train", origin="synthetic", patient=None, volume=None, **bare)
        for case in samples.cases
    ]
    return [*real, *made, *tested]


def _describe(out: Path, spec: Spec, cases: Sequence[Case], notes: Sequence[str]) -> None:
    """The tables that make the arrays a dataset; `dataset.json` comes last."""
    height, width = spec.common_size
    sides = {"height": [height] * len(cases), "width": [width] * len(cases)}
    write_manifest(out / "manifest.csv", cases, extra=sides)
    about = {"format": FORMAT, "spec": spec.to_dict(), "cases": len(cases), "notes": list(notes)}
    write_atomic(out / "dataset.json", json.dumps(about, indent=1))
