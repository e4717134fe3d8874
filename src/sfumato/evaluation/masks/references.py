"""True masks in any form that a person has them: what their values mean, what is scored, and in which unit of length.

    a prepared dataset                     rule, readers, patients, columns, millimetres of its manifest
    images and masks, tables, nnU-Net raw  as `data.source.find_cases` reads them
    a folder of masks alone                labelsTr beside its dataset.json too

What is scored is a *target*: a class of pixels, or a region of nnU-Net, a union of classes that may overlap another.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sfumato.data.conversion.setting import MaskMeaning, decide_meaning
from sfumato.data.dataset import Dataset
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.joined import at_member
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import VolumeHeader, count_planes, flat_axis, named_place, spacing
from sfumato.data.manifest import Case, is_prepared, refuse_hidden
from sfumato.data.mask import count_values
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.source.values.values import with_values
from sfumato.data.source.volumes.nnunet import read_label_words
from sfumato.data.units import MaskFormat, Unit, units
from sfumato.data.worker_pool import WorkerPool
from sfumato.errors import DataError, UsageError
from sfumato.tables import read_rows

_FORMS: tuple[MaskFormat, ...] = ("png", "same")
"""Predictions are of single planes or of whole volumes; references are known by both names."""


class Target(NamedTuple):
    """What is scored by itself: a class of pixels, or a union of classes.

    Attributes:
        name: for people.
        classes: its class indices.
    """

    name: str
    classes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class References:
    """True masks and what they mean.

    Attributes:
        cases: images and planes; of masks alone without their images.
        units: images and volumes by id; a plane of a volume by its own id too.
        meaning: of the stored values.
        millimetres: between rows and columns of images whose file does not say so, by id.
        notes: what a person should know of how they were found.
    """

    cases: tuple[Case, ...]
    units: Mapping[str, Unit]
    meaning: MaskMeaning
    millimetres: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is scored: the regions where there are some, else every foreground class."""
        if self.meaning.regions:
            return tuple(Target(name, classes) for name, classes in self.meaning.regions.items())
        foreground = enumerate(self.meaning.names[1:], start=1)
        return tuple(Target(name, (index,)) for index, name in foreground)

    def spacing(self, unit: Unit) -> tuple[float, ...] | None:
        """Millimetres between the pixels of a unit along each of its axes; None where nobody says so."""
        case, mask = unit.cases[0], Locator.parse(unit.cases[0].masks[0])
        if not is_volume(mask.path):
            return self.millimetres.get(case.id)
        header = _header(grid_file(unit))
        place = named_place(mask.member)
        steps = spacing(header.affine, place.axis if place else flat_axis(header.shape, header.affine))
        return steps if is_whole_volume(unit) else steps[1:]


def grid_file(unit: Unit) -> Path:
    """The file whose header says where the voxels of a unit lie: its image if that is there, else its mask."""
    case = unit.cases[0]
    if case.image:
        image = Locator.parse(case.image).path
        if image.is_file() and is_volume(image):
            return image
    return Locator.parse(case.masks[0]).path


def is_whole_volume(unit: Unit) -> bool:
    """Whether a unit is all planes of a volume, and not one of them."""
    return unit.cases[0].volume == unit.id


def read_references(source: Path, pool: WorkerPool, *, class_names: Sequence[str] = ()) -> References:
    """The true masks of a source.

    Args:
        source: a dataset, a folder of images and masks, an nnU-Net raw dataset, or a folder of masks alone.
        pool: reads masks whose values nobody has explained.
        class_names: names of the values of masks, as `ReadOptions.class_names`; `ignore` counts nowhere.

    Raises:
        DataError: there are no masks, files do not belong together, or values cannot be classes.
        UsageError: names are no names, or a dataset has them already.
    """
    if is_prepared(source):
        _refuse_names(source, class_names)
        return _of_dataset(source)
    found = find_masks(source, class_names=class_names)
    values = Counter[int]() if found.mask_names else values_of(_masks(found.cases), pool)
    return References(
        cases=found.cases,
        units=_by_id(found.cases),
        meaning=decide_meaning(found, values),
        millimetres={},
        notes=found.notes,
    )


def _refuse_names(source: Path, class_names: Sequence[str]) -> None:
    """What the values of a prepared dataset mean was decided when it was prepared.

    Raises:
        UsageError: names are given all the same.
    """
    if class_names:
        raise UsageError(
            f"--class-names {','.join(class_names)}: {source} is a prepared dataset, which has its classes and knows "
            "what counts nowhere",
            expected="names for masks as a person stored them",
            remedy="leave --class-names out; or give it to prepare, and score against the dataset that it writes",
        )


def _of_dataset(source: Path) -> References:
    dataset = Dataset.open(source)
    refuse_hidden(source, _masks(dataset.planes))
    if dataset.spec.mask_rule is None:
        raise DataError(f"{source} has no masks", expected="a dataset for segmentation", code="DATA-023")
    return References(
        cases=dataset.planes,
        units=_by_id(dataset.planes),
        meaning=MaskMeaning(dataset.spec.mask_rule, dataset.spec.mask_classes),
        millimetres=_millimetres(source),
    )


def _masks(cases: Iterable[Case]) -> Iterator[str]:
    """The masks of all readers of all cases."""
    for case in cases:
        yield from case.masks


def find_masks(source: Path, *, class_names: Sequence[str] = (), people: bool = True) -> DiscoveredDataset:
    """Cases with masks; in a folder of masks alone, each is a case whose image is not known ("").

    Args:
        source: a folder, or whatever `find_cases` takes.
        class_names: names of the values of the masks, as a person gives them; they go before those of the source.
        people: whether it is asked whose they are.

    Raises:
        DataError: as for `find_cases`.
        UsageError: as for `with_values`.
    """
    hints = ReadOptions(class_names=tuple(class_names), people=people)
    found = find_cases(source, hints=hints)
    if found.has_masks:
        return found if class_names else _with_words(found, source)
    cases = tuple(replace(case, image="", masks=(case.image,)) for case in found.cases)
    alone = _with_words(found._replace(cases=cases), source)
    return with_values(alone, hints, look=False) if class_names else alone


def _with_words(found: DiscoveredDataset, source: Path) -> DiscoveredDataset:
    """The same with the names of values that the description of the dataset has, where nothing else has them."""
    words = read_label_words(source) if source.is_dir() and not found.mask_names else None
    if not words:
        return found
    return found._replace(mask_names=words.names, regions=words.regions, ignore=words.ignore)


def values_of(masks: Iterable[str], pool: WorkerPool) -> Counter[int]:
    """How many pixels have each stored value, over all masks: planes, pictures, or volumes as a whole."""
    counts: Counter[int] = Counter()
    by_file: dict[Path, list[str]] = {}
    for mask in masks:
        by_file.setdefault(Locator.parse(mask).path, []).append(mask)
    for _, values in pool.each(_count, None, by_file.values()):
        counts.update(values)
    return counts


def _count(_: None, masks: Sequence[str]) -> Counter[int]:
    """The values in the masks of one file."""
    counts: Counter[int] = Counter()
    for mask in masks:
        for plane in _planes(mask):
            counts.update(count_values(read_mask(plane)))
    return counts


def _planes(mask: str) -> list[str]:
    """A mask, or the planes of a volume that is named as a whole."""
    target = Locator.parse(mask)
    if target.member or not is_volume(target.path):
        return [mask]
    header = read_header(target.path)
    if 1 in header.shape[:3]:
        return [mask]
    return [at_member(mask, f"axial/{number}") for number in range(count_planes(header, "axial"))]


@lru_cache(maxsize=16)
def _header(path: Path) -> VolumeHeader:
    """Planes of one volume ask in turn."""
    return read_header(path)


def _by_id(cases: Sequence[Case]) -> dict[str, Unit]:
    by_id: dict[str, Unit] = {}
    for form in _FORMS:
        by_id.update((unit.id, unit) for unit in units(cases, form))
    return by_id


def _millimetres(dataset: Path) -> dict[str, tuple[float, float]]:
    millimetres: dict[str, tuple[float, float]] = {}
    for row in read_rows(dataset / "manifest.csv"):
        if row.get("row_mm"):
            millimetres[row["id"]] = float(row["row_mm"]), float(row["column_mm"])
    return millimetres
