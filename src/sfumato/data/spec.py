"""What a model must know about its data, and the one path from an image to what networks see.

`model_input` brings an image into the form in which prepared data sets store it (`sfumato.data.intensity`); `to_data`
maps that to [-1, 1] when a batch is read. Training and a single file that is segmented later take the same path.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from pydantic import ConfigDict, TypeAdapter

from sfumato.data.channels import read_case, with_channels, without_copies
from sfumato.data.facts import spacing_of
from sfumato.data.formats.volume import Axis
from sfumato.data.intensity import FULL, Intensity, case_stats, stored_dtype, stored_pixels
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED, MaskRule
from sfumato.data.placement import Canvas, Placement, Spacing, fit_canvas, no_spacing
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.statistics import Stats
from sfumato.data.volumes import as_volume, by_volume, placed_volume, plane_spacing
from sfumato.errors import DataError, UsageError
from sfumato.plain import shaped, shown
from sfumato.typing import Data

__all__ = [
    "Intensity",
    "Spec",
    "drawn_cases",
    "model_input",
    "read_input",
    "stored_channels",
    "to_data",
    "with_channels",
]

_Pixels = Shaped[np.ndarray, "*space c"]
_Stored = Shaped[np.ndarray, "*sides channels"]
Stack = Shaped[np.ndarray, "b *space c"]

LARGEST_SIDE, MOST_CHANNELS, MOST_CLASSES, MOST_READERS, LONGEST_TEXT = 8192, 1024, 10_000, 10_000, 10_000
"""Of a description of data: what lies beyond was made up."""

LARGEST_VALUE = 2**31
"""That a mask stores."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a model must know about its data; it travels in the model's header.

    Attributes:
        size: height and width of all images; None: each has its own (`common_size`).
        dimensions: 2: images, also planes of volumes; 3: whole volumes, planes first.
        neighbours: planes before and behind each that are channels of it, of volumes that are cut.
        channels: 1 (grey), 3 (RGB), or as many as the source has files for an image.
        dtype: numbers of the images as they are read, e.g. "uint8", "int16"; of most of them, where they differ.
        intensity: numbers of the images to [-1, 1].
        modality: "CT", "MR" ..., where it is known.
        keep_aspect: images were fitted into the canvas undistorted.
        crop: images filled the canvas undistorted, and what jutted out was cut off.
        spacing: millimetres per pixel that images were brought to; volumes between planes, rows and columns.
        classes: names of the labels of whole images; empty without labels.
        mask_classes: names of the labels of pixels, background first; empty without masks.
        mask_rule: what stored mask values mean.
        ignore: some pixels of masks say nothing (`sfumato.data.mask.IGNORED`).
        readers: masks per image.
        slice_axis: along which axis volumes were cut; None without volumes.
        component: which component of volumes with several was taken; "all" as channels; "planes": all planes were.
        pages: what the pages of TIFF files of several are; None where none were read.
        channel_files: how the names of the files of an image of several end, in the order of its channels.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    size: tuple[int, ...] | None
    channels: int
    dtype: str
    intensity: Intensity
    modality: str | None = None
    keep_aspect: bool = False
    crop: bool = False
    spacing: float | tuple[float, float, float] | None = None
    classes: tuple[str, ...] = ()
    mask_classes: tuple[str, ...] = ()
    mask_rule: MaskRule | None = None
    ignore: bool = False
    readers: int = 0
    slice_axis: Axis | None = None
    component: int | Literal["all", "planes"] | None = None
    pages: Literal["volume", "channels"] | None = None
    channel_files: tuple[str, ...] = ()
    dimensions: Literal[2, 3] = 2
    neighbours: int = 0

    @property
    def has_masks(self) -> bool:
        """Whether the images have masks. What is done with the data is another matter: `Recipe.task`."""
        return self.readers > 0

    def as_taught(self) -> ReadOptions:
        """How a model is given new images: alone, cut and put together as those that it was trained on."""
        axis = self.slice_axis or "auto"
        return ReadOptions(
            images_only=True, slice_axis=axis, component=self.component, pages=self.pages, channels=self.channel_files
        )

    def without_masks(self) -> "Spec":
        """The same of the images alone."""
        return replace(self, mask_classes=(), mask_rule=None, ignore=False, readers=0)

    @property
    def common_size(self) -> tuple[int, int]:
        """Height and width of all images.

        Raises:
            UsageError: each has its own.
        """
        if self.size is None:
            raise UsageError(
                "each image of the data keeps its own size, and this needs images of one size",
                remedy="prepare the data at one: --size 128, say",
            )
        height, width = self.size
        return height, width

    @property
    def own_channels(self) -> int:
        """Channels of an image by itself, without those of its neighbours."""
        return self.channels // (2 * self.neighbours + 1)

    @property
    def voxel(self) -> tuple[float, ...] | None:
        """Millimetres between planes, rows and columns of volumes; None of images, and where nobody knows."""
        return self.spacing if isinstance(self.spacing, tuple) else None

    @property
    def canvas(self) -> Canvas:
        """How images get to their size."""
        return Canvas(self.size, self.keep_aspect, self.crop, self.spacing)

    @property
    def stored_dtype(self) -> np.dtype:
        """The numbers of prepared images: uint8 or uint16."""
        return stored_dtype(self.dtype, self.intensity)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; `kind` is for version 0.1, which knows whether there are masks by it."""
        plain = {**vars(self), "intensity": self.intensity._asdict()}
        for name, usual in (
            ("channel_files", ()),
            ("dimensions", 2),
            ("neighbours", 0),
        ):  # words that version 0.1 does not know
            if plain[name] == usual:
                del plain[name]
        kind = "segment" if self.has_masks else "generate"
        return {"kind": kind, **plain, "mask_rule": self.mask_rule.to_dict() if self.mask_rule else None}

    @classmethod
    def from_dict(cls, entry: Any) -> "Spec":
        """From what `to_dict` wrote, also after a round trip through JSON.

        Raises:
            DataError: entries are missing, unknown or impossible, or were written by an older sfumato.
        """

        def fault(finding: str) -> DataError:
            return DataError(f"the description of the data {finding}", code="DATA-021")

        intensity = entry.get("intensity") if isinstance(entry, dict) else None
        if isinstance(intensity, dict) and "kind" not in intensity:
            raise DataError(
                "the description of the data was written by an older sfumato, which stored images otherwise",
                remedy="prepare the data and train the model again",
                code="DATA-021",
            )
        known = {name: value for name, value in entry.items() if name != "kind"} if isinstance(entry, dict) else entry
        spec: Spec = shaped(_form(), known, fault)
        if impossible := next(_impossible(spec), None):
            raise fault(f"says what no data have: {impossible}")
        return spec


@cache
def _form() -> Callable[[Any], Any]:
    """A `Spec` from plain data whose fields have its types."""
    return TypeAdapter(Spec).validate_python


def _impossible(spec: Spec) -> Iterator[str]:
    """What no data have."""
    numbers = {
        "height": (spec.size[0] if spec.size else 1, 1, LARGEST_SIDE),
        "width": (spec.size[-1] if spec.size else 1, 1, LARGEST_SIDE),
        "channels": (spec.channels, 1, MOST_CHANNELS),
        "neighbours": (spec.neighbours, 0, spec.channels),
        "readers": (spec.readers, 0, MOST_READERS),
        "component": (spec.component if isinstance(spec.component, int) else 0, 0, MOST_CHANNELS),
        "classes": (len(spec.classes), 0, MOST_CLASSES),
        "channel_files": (len(spec.channel_files), 0, spec.channels),
        "mask_classes": (len(spec.mask_classes), 0, IGNORED),
    }
    for name, (found, low, high) in numbers.items():
        if not low <= found <= high:
            yield f"{name} {found}, not {low} to {high}"
    steps = spec.spacing if isinstance(spec.spacing, tuple) else (1.0 if spec.spacing is None else spec.spacing,)
    if not all(0 < step < math.inf for step in steps):
        yield f"spacing {spec.spacing}"
    if len(spec.size or ()) not in (0, 2) or (spec.dimensions == 3) < (spec.voxel is not None):
        yield f"size {spec.size} and spacing {spec.spacing} of {spec.dimensions} dimensions"
    if not re.fullmatch(r"[a-z]+\d{0,3}", spec.dtype):
        yield f"dtype {shown(spec.dtype)}"
    texts = (spec.modality or "", spec.intensity.text, *spec.classes, *spec.mask_classes, *spec.channel_files)
    if (longest := max(map(len, texts))) > LONGEST_TEXT:
        yield f"a text of {longest} characters"
    yield from _impossible_numbers(spec.intensity, spec.mask_rule)


def _impossible_numbers(intensity: Intensity, rule: MaskRule | None) -> Iterator[str]:
    """Black that is no darker than white, and values of masks that mean nothing."""
    if not -math.inf < intensity.low < intensity.high < math.inf:
        yield f"intensity {intensity.low} to {intensity.high}"
    if rule is not None:
        stored = (*rule.values, *(value for value in (rule.threshold, rule.ignore) if value is not None))
        classes = rule.threshold is not None or 0 < len(rule.values) <= IGNORED
        if not classes or list(rule.values) != sorted(set(rule.values)) or any(abs(v) > LARGEST_VALUE for v in stored):
            yield f"mask_rule {shown(rule.values)}"


class Input(NamedTuple):
    """A fresh image.

    Attributes:
        pixels: as read (h, w, c), of volumes (planes, h, w, c).
        stats: what its intensities are judged by.
        array: in the form in which prepared images are stored, at the model's size.
        placement: the way back.
    """

    pixels: np.ndarray
    stats: tuple[Stats, ...]
    array: np.ndarray
    placement: Placement


def drawn_cases(cases: Sequence[Case], spec: Spec) -> tuple[list[Case], Callable[[Case, Spec], Input]]:
    """What a model sees as one, and how it is read: images, or the volumes that the images are planes of.

    Raises:
        DataError: an image among volumes.
    """
    if spec.dimensions == 2:
        return list(cases), read_input
    volumes = {as_volume(planes).id: planes for planes in by_volume(cases)}

    def read(case: Case, spec: Spec) -> Input:
        return _read_volume(volumes[case.id], spec)

    return [as_volume(planes) for planes in volumes.values()], read


def _read_volume(planes: Sequence[Case], spec: Spec) -> Input:
    """A volume, read plane by plane from its files and brought into the model's form.

    Raises:
        DataError: as for `read_case`, `model_input` and `placed_volume`; its planes have several sizes.
    """
    read = list(map(read_case, planes))
    if len({plane.shape for plane in read}) > 1:
        raise DataError(f"the planes of {planes[0].volume} have several sizes", code="DATA-012")
    placed_volume(spec.canvas, (len(read), *read[0].shape[:2]), planes[0].image)
    pixels, stats = np.stack(read), case_stats(planes[0], read[0])
    spacing = plane_spacing(planes[0].image) if spec.voxel else None
    array, placement = model_input(pixels, spec, stats, spacing=spacing)
    return Input(pixels, stats, array, placement)


def read_input(case: Case, spec: Spec) -> Input:
    """The image of a case, read from its files and brought into the model's form.

    Raises:
        DataError: as for `read_case` and `model_input`.
    """
    pixels = read_case(case)
    stats = case_stats(case, pixels)
    array, placement = model_input(pixels, spec, stats, spacing=spacing_of(case.image) if spec.spacing else None)
    return Input(pixels, stats, array, placement)


def model_input(
    array: _Pixels, spec: Spec, stats: Stats | tuple[Stats, ...], *, spacing: Spacing | None = None
) -> tuple[_Stored, Placement]:
    """A fresh image or volume in the form in which prepared ones are stored: same channels, size and numbers.

    Args:
        array: as read.
        spec: what the model knows.
        stats: of the image or of its volume (`facts.stats_of`); one for each file of an image of several.
        spacing: millimetres between its rows and columns, of volumes between planes first, where the model was trained
            at a spacing.

    Raises:
        DataError: it has other numbers (16 bit instead of 8 bit, say) or other channels than the model was trained on,
            or its spacing is needed and not known.
    """
    _refuse_other(array, spec)
    if spec.spacing is not None and spacing is None:
        raise no_spacing("the image", spec.spacing)
    slim = with_channels(array, 1) if spec.channels == 1 else without_copies(array)
    placement = spec.canvas.place(array.shape[:-1], spacing)
    fitted = fit_canvas(slim, placement, nearest=False)
    return stored_channels(fitted, spec, stats), placement


def stored_channels(pixels: _Pixels, spec: Spec, stats: Stats | tuple[Stats, ...]) -> _Stored:
    """Pixels of any size with the channels and in the numbers of prepared images; see `model_input`."""
    parts = (stats,) if isinstance(stats, Stats) else stats
    return stored_pixels(with_channels(pixels, spec.channels), spec.intensity, parts)


def _refuse_other(array: _Pixels, spec: Spec) -> None:
    kinds = {str(array.dtype), spec.dtype}
    if len(kinds) > 1 and (spec.intensity.kind == "unit" or (spec.intensity.kind == "window" and "uint8" in kinds)):
        raise DataError(
            f"the image has {array.dtype} pixels",
            expected=f"{spec.dtype}, as the images that the model was trained on",
            remedy="convert the image, minding the range of its intensities",
            code="DATA-009",
        )
    if array.shape[-1] != spec.channels and {array.shape[-1], spec.channels} != {1, 3}:
        raise DataError(
            f"the image has {array.shape[-1]} channels",
            expected=f"{spec.channels}, as the images that the model was trained on",
            code="DATA-009",
        )


def to_data(arrays: Stack, spec: Spec, device: torch.device | str = "cpu") -> Data:
    """Stored images to what networks see: float32 in [-1, 1], channels first in shape, last in memory."""
    values = torch.from_numpy(arrays).to(device, non_blocking=True).float()
    white = 255 if spec.stored_dtype == np.uint8 else FULL
    return values.mul_(2 / white).sub_(1).movedim(-1, 1)
