"""The masks and maps of one case as arrays of one shape, whatever files they lie in.

A volume is read along the axis of its reference: (planes, height, width), all of its planes, so that distances between
planes are true even where a dataset kept only some of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.joined import at_member, mask_parts
from sfumato.data.formats.laid import Laid, find_laid
from sfumato.data.formats.scan import is_volume, read_header, read_volume
from sfumato.data.formats.volume import named_place, place_in
from sfumato.data.mask import MaskRule
from sfumato.data.units import Unit
from sfumato.errors import DataError
from sfumato.evaluation.masks.references import grid_file, is_whole_volume


def read_readers(unit: Unit, rule: MaskRule) -> np.ndarray:
    """Class indices of each reader: (readers, h, w), of a volume (readers, planes, h, w); 255 where one is silent."""
    readers = range(len(unit.cases[0].masks))
    return np.stack([_of_reader(unit, reader, rule) for reader in readers])


def _of_reader(unit: Unit, reader: int, rule: MaskRule) -> np.ndarray:
    masks = [rule.apply(read_mask(locator)) for locator in _planes(unit, reader)]
    return np.stack(masks) if is_whole_volume(unit) else masks[0]


def _planes(unit: Unit, reader: int) -> list[str]:
    """The planes of a reader's mask: of a volume all that its file has, for a DICOM segmentation those of its image."""
    locators = [case.masks[reader] for case in unit.cases]
    first = Locator.parse(locators[0])
    if not is_whole_volume(unit) or not is_volume(first.path) or is_dicom(first.path):
        return locators
    volume = read_volume(first.path)
    place = place_in(volume, first)
    if place.window is not None:
        return locators
    laid = f"@{place.codes}" if place.codes else ""
    count = len(volume.planes(place.axis, place.codes))
    return [at_member(locators[0], f"{place.axis}/{number}{laid}") for number in range(count)]


def _places(unit: Unit) -> list[Locator]:
    """Where the planes of the reference lie on the grid of the image, which is that of a prediction.

    Planes of a segmentation that does not hold all of its image are numbered from its own first.
    """
    locators = [Locator.parse(mask_parts(mask)[0].locator) for mask in _planes(unit, 0)]
    if _is_part(locators[0]) and all(case.image for case in unit.cases):
        return [Locator.parse(case.image) for case in unit.cases]
    return [locator._replace(member=locator.member.partition("@")[0]) for locator in locators]


def _is_part(mask: Locator) -> bool:
    """Whether a segmentation may hold only some planes of its image."""
    place = named_place(mask.member)
    return is_dicom(mask.path) or bool(place and place.window)


def read_predicted(file: str, unit: Unit, rule: MaskRule) -> np.ndarray:
    """Class indices of a predicted mask, in the shape of the unit's references.

    Raises:
        DataError: it lies on another grid than its reference, or has values of no class.
    """
    path = Locator.parse(file).path
    if not is_volume(path):
        return rule.apply(read_mask(file))
    laid = _laid(path, unit)
    if is_dicom(path):  # a segmentation numbers its classes itself
        planes = _at(path, _places(unit))
    else:
        members = [_member(path, place, laid) for place in _places(unit)]
        planes = np.stack([rule.apply(read_mask(at_member(file, member))) for member in members])
    return planes if is_whole_volume(unit) else planes[0]


def _member(path: Path, reference: Locator, laid: Laid) -> str:
    """Where in a predicted volume the plane of a reference is."""
    place = named_place(reference.member) or place_in(read_volume(path), Locator(path))
    return laid.member(place.axis, place.number)


def read_probability(files: Sequence[str], unit: Unit) -> np.ndarray:
    """The probability of every class, background first: (classes, *space), summing to 1."""
    foreground = np.stack([read_map(file, unit) for file in files])
    background = (1.0 - foreground.sum(axis=0, keepdims=True)).clip(min=0.0)
    probability = np.concatenate([background, foreground])
    return np.asarray(probability / probability.sum(axis=0))


def read_map(file: str, unit: Unit) -> np.ndarray:
    """A map from 0 to 1 in the shape of the unit's references; whole numbers run from 0 to their largest."""
    path = Path(file)
    if is_volume(path):
        planes = _at(path, _places(unit))
        values = planes if is_whole_volume(unit) else planes[0]
    else:
        values = read_image(file)[..., 0]
    full = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1
    return values.astype(np.float64) / full


def _at(path: Path, places: Sequence[Locator]) -> np.ndarray:
    """The planes of a volume at the places of its references."""
    volume = read_volume(path)
    found = [place_in(volume, place) for place in places]
    return np.asarray(volume.planes(found[0].axis)[[place.number for place in found]])


def _laid(path: Path, unit: Unit) -> Laid:
    """How a prediction lies on its reference.

    Raises:
        DataError: its voxels do not lie where those of the reference do; DICOM segmentations may lack planes.
    """
    reference = grid_file(unit)
    if not is_volume(reference) or is_dicom(reference) or is_dicom(path):
        return Laid()
    laid = find_laid(read_header(reference), read_header(path))
    if isinstance(laid, Laid):
        return laid
    raise DataError(
        f"{path} lies on another grid than its reference {reference}: {'; '.join(laid)}",
        expected="as many voxels, at the same places",
        code="SCORE-004",
        remedy="score predictions on the grid of their input; check that the files belong together",
    )
