"""Two sets of images that are to be compared: real ones of a prepared data set, and others brought to its form.

An image that a model made lies already between the black and the white of the data that the model was trained on;
an 8-bit picture of data that are no 8-bit pictures is taken for such a one. Everything else goes the way that the real
images went (`sfumato.data.spec.read_input`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from sfumato.data.channels import read_case
from sfumato.data.dataset import Dataset
from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case
from sfumato.data.source import find_cases
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.spec import Spec, model_input, read_input, to_data
from sfumato.data.statistics import stats_of
from sfumato.errors import DataError
from sfumato.provenance import called
from sfumato.typing import Data
from sfumato.wording import counted

RealPart = Literal["auto", "train", "validation", "test", "held-out", "all"]
"""Which real images: held-out means validation and test; auto takes those, or all where they are few."""

_FEWEST = 10
"""Images below which nothing can be said of a set."""

FEW_HELD_OUT = 60
"""Held-out images below which `auto` takes all real images."""

_BATCH = 512
"""Images read at once."""

_Item = TypeVar("_Item")

AS_MADE = Intensity("unit", 0.0, 255.0, "8 bits between the black and the white of the data")


@dataclass(frozen=True)
class ImageSet:
    """A set of images of one size.

    Attributes:
        cases: what is known about each.
        fetch: the images of some of them, by their place in `cases`.
        what: what they are, in words, e.g. "test and validation part of pneumonia".
        notes: what a reader of numbers about them should know.
    """

    cases: tuple[Case, ...]
    fetch: Callable[[Sequence[int]], Data]
    what: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of each image; an empty string without one."""
        return tuple(case.label or "" for case in self.cases)


def real_images(dataset: Dataset, part: RealPart, *, name: str) -> ImageSet:
    """The real images of a part of a data set, see `Dataset.real`.

    Raises:
        DataError: the part has fewer than `_FEWEST` real images.
    """
    held_out = [*dataset.rows("validation"), *dataset.rows("test")]
    chosen = part
    if part == "auto":
        chosen = "held-out" if len(held_out) >= FEW_HELD_OUT else "all"
    rows, words = _rows_of(dataset, chosen)
    kept = dataset.real(rows)
    if len(kept) < _FEWEST:
        raise DataError(
            f"{name}: {counted(len(kept), 'real image')} in the part '{chosen}'",
            expected=f"at least {_FEWEST}",
            remedy="--real-split all, or --holdout DATASET",
            code="SCORE-030",
        )
    notes = list[str]()
    if len(rows) > len(kept):
        notes.append(f"{counted(len(rows) - len(kept), 'image')} of {name} marked as synthetic: left out")
    if part == "auto" and chosen == "all":
        few = counted(len(held_out), "held-out image")
        notes.append(f"{name} has only {few}: synthetic ones are compared with all real ones")
    return of_pack(dataset, kept, f"{words} of {name}", notes)


def _rows_of(dataset: Dataset, part: str) -> tuple[Sequence[int], str]:
    """The rows of a part of a data set, and what it is called."""
    if part == "all":
        return range(len(dataset)), "all images"
    if part == "held-out":
        return [*dataset.rows("validation"), *dataset.rows("test")], "validation and test part"
    return dataset.rows(part), f"{part} part"


def of_pack(dataset: Dataset, rows: Sequence[int], what: str, notes: Sequence[str] = ()) -> ImageSet:
    """Some rows of a data set."""
    cases = tuple(dataset.cases[row] for row in rows)
    return ImageSet(cases, lambda places: dataset.images([rows[place] for place in places]), what, tuple(notes))


def sample_images(source: Path, spec: Spec) -> ImageSet:
    """The images of any source, in the form of a data set.

    Raises:
        DataError: there are fewer than `_FEWEST`, or one cannot be brought into that form.
    """
    samples, name = sample_cases(source), called(source) or "SAMPLES"
    stored, changes = list[np.ndarray](), Counter[str]()
    for case in samples.cases:
        array, changed = _stored(case, spec)
        stored.append(array)
        changes.update(changed)
    notes = list[str]()
    if samples.real:
        notes.append(f"{counted(samples.real, 'real image')} beside the synthetic ones of {name}: left out")
    for change, count in sorted(changes.items()):
        notes.append(f"{change}: {count} of {len(samples.cases)} images")
    fetch = partial(_fetched, np.stack(stored), spec)
    return ImageSet(samples.cases, fetch, f"images of {name}", tuple(notes))


class _Samples(NamedTuple):
    """What is to be judged, and how many real images lie beside it."""

    cases: tuple[Case, ...]
    real: int


def sample_cases(source: Path) -> _Samples:
    """The cases of a source of synthetic images; of a mixed one (`generate --balance`) those marked as synthetic.

    Raises:
        DataError: there are fewer than `_FEWEST`.
    """
    found = find_cases(source, hints=ReadOptions(images_only=True)).cases
    cases = tuple(case for case in found if case.origin == "synthetic") or found
    if len(cases) < _FEWEST:
        raise DataError(
            f"{source}: {counted(len(cases), 'image is', 'images are')} too few to compare sets of images",
            expected=f"at least {_FEWEST}, better some hundred of each class",
            remedy="sfumato generate MODEL --count 200",
            code="SCORE-030",
        )
    return _Samples(cases, len(found) - len(cases))


def plain_spec(source: Path) -> Spec:
    """The form of 8-bit pictures like the first one of a source, for a comparison without a data set."""
    pixels = read_case(sample_cases(source).cases[0])
    if pixels.dtype != np.uint8:
        raise DataError(
            f"{source} has {pixels.dtype} pixels, and no data set says what is black and white",
            expected="8-bit pictures",
            remedy="name the real data set as well",
            code="DATA-009",
        )
    height, width, channels = pixels.shape
    return Spec(size=(height, width), channels=channels, dtype="uint8", intensity=AS_MADE)


def _fetched(stored: np.ndarray, spec: Spec, places: Sequence[int]) -> Data:
    return to_data(stored[list(places)], spec)


def _stored(case: Case, spec: Spec) -> tuple[np.ndarray, list[str]]:
    """An image in the stored form of a data set, and what had to be done to it."""
    pixels = read_case(case)
    notes = []
    if pixels.shape[:2] != spec.common_size:
        height, width = pixels.shape[:2]
        notes.append(f"resized from {height} x {width} to {spec.common_size[0]} x {spec.common_size[1]} pixels")
    if pixels.shape[2] != spec.channels:
        notes.append(f"brought from {pixels.shape[2]} to {spec.channels} channels")
    if pixels.dtype == np.uint8 and spec.stored_dtype != np.uint8:
        notes.append("8-bit pictures were taken as black to white of the data's intensity rule")
        made = replace(spec, dtype="uint8", intensity=AS_MADE, spacing=None)
        eight, _ = model_input(pixels, made, stats_of(case.image, pixels))
        return eight.astype(np.uint16) * 257, notes
    return read_input(case, spec).array, notes


def gathered(images: ImageSet, use: Callable[[Data], _Item]) -> list[_Item]:
    """What `use` makes of the images, batch by batch in order."""
    results = list[_Item]()
    for start in range(0, len(images), _BATCH):
        places = range(start, min(start + _BATCH, len(images)))
        results.append(use(images.fetch(places)))
    return results
