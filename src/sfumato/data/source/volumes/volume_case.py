"""The volumes of a case: their headers, how masks lie on their image, and which values of a voxel are read."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.laid import Laid, lay_mask
from sfumato.data.formats.scan import read_header
from sfumato.data.formats.volume import Axis, VolumeHeader
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.scans import FILES
from sfumato.data.source.volumes import cine, components
from sfumato.data.source.volumes.gridded import check_channels
from sfumato.errors import DataError, listed

NO_HEADERS: Mapping[str, VolumeHeader] = MappingProxyType({})


class VolumeCase(NamedTuple):
    """A case whose files are volumes.

    Attributes:
        case: its files.
        header: of the image.
        masks: headers of its masks.
        laid: how these lie on it.
        components: which values of a voxel are read, a channel each; all at once where there are none.
        stacked: along which axis its planes are channels of one image, where they are.
    """

    case: Case
    header: VolumeHeader
    masks: Mapping[str, VolumeHeader]
    laid: Mapping[str, Laid]
    components: Sequence[int] = ()
    stacked: Axis | None = None


def read_volume_case(case: Case, hints: ReadOptions, known: Mapping[str, VolumeHeader], named: int) -> VolumeCase:
    """The headers of a case, which must lie on one grid.

    Args:
        case: its files.
        hints: what a person said of their components.
        known: headers that were read already, by locator.
        named: how many channels of an image the source names; 0 where it does not.

    Raises:
        DataError: files are damaged, lie on different grids, or have components of which nobody can know what they are.
    """
    images = {locator: _header(case, locator, known) for locator in (case.image, *case.channels)}
    masks = {locator: _header(case, locator, known) for locator in _mask_files(case)}
    image = images[case.image]
    check_channels(images, masks)
    values = _components_read(case, images, masks, hints, named)
    if not cine.are_frames(image, masks):
        for locator, header in masks.items():
            _check_mask(locator, header, case.image, image)
    if not case.channels and (axis := components.channels_along(image, masks.values(), hints.component)):
        return VolumeCase(case, image, masks, dict.fromkeys(masks, Laid()), stacked=axis)
    laid = {locator: _laid(Path(case.image), Path(locator), header) for locator, header in masks.items()}
    return VolumeCase(case, image, masks, laid, values)


def _mask_files(case: Case) -> Iterator[str]:
    for mask in case.masks:
        for part in mask_parts(mask):
            yield part.locator


def _header(case: Case, locator: str, known: Mapping[str, VolumeHeader]) -> VolumeHeader:
    """The header of a file of a case; contours have one on their image only."""
    if header := known.get(locator):
        return header
    path = Path(locator)
    if locator != case.image and not path.name.lower().endswith(FILES):
        from sfumato.data.formats.dicom.contours import header_on, is_structure_set

        if is_structure_set(path):
            return header_on(Path(case.image), path)
    return read_header(path)


def _components_read(
    case: Case,
    images: Mapping[str, VolumeHeader],
    masks: Mapping[str, VolumeHeader],
    hints: ReadOptions,
    named: int,
) -> Sequence[int]:
    """Which values of a voxel are read, of which all files of an image must have as many."""
    chosen = hints.component
    if cine.are_frames(images[case.image], masks) and not isinstance(chosen, int):
        chosen = 0
    values, *others = [components.taken(locator, header, masks, chosen, named) for locator, header in images.items()]
    if any(len(other) != len(values) for other in others):
        raise _other_components(case, images)
    return values


def _other_components(case: Case, images: Mapping[str, VolumeHeader]) -> DataError:
    files = [f"{locator}: {_shape(header)}" for locator, header in images.items()]
    return DataError(
        f"{case.id} has files of one and of several components:\n{listed(files)}",
        expected="as many values per voxel in each file of an image",
        remedy="choose one with --component, or save each channel as a file of its own",
        code="DATA-063",
    )


def _shape(header: VolumeHeader) -> str:
    return " x ".join(map(str, header.shape))


def _check_mask(locator: str, header: VolumeHeader, image: str, behind: VolumeHeader) -> None:
    """Refuse a mask with several values per voxel which are no frames of its image."""
    if cine.components(header) > 1:
        count = behind.shape[3] if len(behind.shape) > 3 else 1
        raise DataError(
            f"{locator} has {header.shape[3]} components (shape {_shape(header)}), its image {image} has {count}",
            expected="a mask with one value per voxel, or with a frame for each frame of its image",
            remedy="save it with one number per voxel, the class; or take it out of the folder if it is no mask",
            code="DATA-063",
        )


def _laid(image: Path, mask: Path, header: VolumeHeader) -> Laid:
    """How a mask lies on its image; what was drawn on it lies there."""
    return Laid() if is_segmentation(header) or header.modality == CONTOURS else lay_mask(image, mask)


def is_segmentation(header: VolumeHeader) -> bool:
    """Whether a volume is a DICOM segmentation, which may lack planes of its image."""
    return header.label and header.modality == "SEG"
