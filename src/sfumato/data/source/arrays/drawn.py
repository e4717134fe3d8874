"""Masks in arrays beside their images, and the cases of both: one for an image, or for each plane of a volume."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sfumato.data.manifest import Case
from sfumato.data.source.arrays.axes import Axes
from sfumato.data.source.arrays.layers import Layers
from sfumato.data.source.arrays.stored import StoredArray
from sfumato.errors import DataError


class MaskArray(NamedTuple):
    """An array of masks that lies on one of images.

    Attributes:
        stored: the array.
        axes: its axes.
        layers: what its channels are, where it has several.
    """

    stored: StoredArray
    axes: Axes
    layers: Layers | None = None

    def names(self, row: int, plane: int | None) -> tuple[str, ...]:
        """The masks of an image, or of a plane of a volume, by their locators."""
        if self.layers is not None:
            return self.layers.masks(self.stored, self.axes, row, plane)
        return (self.stored.locator(self.axes.members(row, plane)[0]),)


def mask_axes(images: StoredArray, axes: Axes, masks: StoredArray) -> Axes:
    """The axes of masks, which must lie on those of their images; an axis of one channel is fine.

    Raises:
        DataError: they have another shape.
    """
    counted = (axes.cases,) if axes.counted else ()
    plain = (*counted, *axes.extent)
    if masks.shape in (plain, (*plain, 1), (*counted, 1, *axes.extent)):
        first = int(masks.shape == (*counted, 1, *axes.extent) and masks.shape != (*plain, 1))
        return axes._replace(shape=masks.shape, first=first)
    finding = f"{images} has the shape {images.shape}, {masks} {masks.shape}"
    raise DataError(
        finding,
        expected="a mask of the same size for every image; its channels, if there are several, first or last",
        code="DATA-012",
    )


def planes(case: Case, row: int, images: tuple[StoredArray, Axes], masks: Sequence[MaskArray]) -> list[Case]:
    """A case for an image, or one for each plane of a volume; each array of masks is that of a reader."""
    array, axes = images
    cuts: Sequence[int | None] = [None] if axes.planes is None else range(axes.planes)
    cases = []
    for plane in cuts:
        image, *channels = (array.locator(member) for member in axes.members(row, plane))
        names = tuple(name for mask in masks for name in mask.names(row, plane))
        filled = replace(case, image=image, channels=tuple(channels), masks=names)
        if plane is not None:
            patient = case.patient or case.id
            filled = replace(filled, id=f"{case.id}_{plane:03d}", volume=case.id, patient=patient)
        cases.append(filled)
    return cases
