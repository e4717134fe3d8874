"""From a source to how it is prepared, and to what is cut out of it: images or volumes, size, spacing, patch."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np

from sfumato.data.facts import image_facts
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.manifest import Case
from sfumato.data.mask import count_values, decide_mask_rule
from sfumato.data.placement import Canvas, size_within, spacing_words
from sfumato.data.sharpness import OriginalMask, rows_to_measure, sharpness
from sfumato.data.source import DiscoveredDataset
from sfumato.data.volumes import (
    LARGEST_STEP,
    LEAVE_OUT,
    SMALLEST_STEP,
    are_worth_it,
    by_volume,
    has_geometry,
    header_spacing,
    target_spacing,
)
from sfumato.errors import DataError, UsageError
from sfumato.evenly import evenly
from sfumato.recipe import NATIVE, DataSection, Recipe
from sfumato.wording import as_setting, counted

PATCH_SIDE, PATCH_STEP = {"cpu": 128, "cuda": 256}, 16
"""Sides of patches in pixels: at most, on a device, and what they are multiples of."""

PATCH_VOXELS, PATCH_SIDE_STEP = {"cpu": 2**17, "cuda": 2**20}, 4
"""Voxels of a patch of volumes at most, on a device, and what its sides are multiples of."""

LARGEST_SMALL_SIDE = {"cpu": 64, "cuda": 128}
"""Side in pixels up to which training on a device takes hours, not days."""

HEADERS_READ = 500
"""Volumes whose headers say how far voxels lie apart."""

IMAGES_READ = 20
"""Images that say how large they are."""


class Choice(NamedTuple):
    """A setting that was chosen for the user."""

    choice: str
    value: Any
    reason: str

    def line(self) -> str:
        """A line about it."""
        return f"plan: {self.choice} = {as_setting(self.value)}: {self.reason}"


class DataForm(NamedTuple):
    """How a source is prepared.

    Attributes:
        dimensions: 2: every plane of a volume is an image; 3: volumes stay whole.
        size: height and width in pixels; None: each image or volume keeps its own.
        spacing: millimetres per pixel; of whole volumes between planes, rows and columns.
    """

    dimensions: Literal[2, 3]
    size: tuple[int, int] | None
    spacing: float | tuple[float, float, float] | None

    def count(self, found: DiscoveredDataset) -> int:
        """How many cases a source becomes: images, planes or whole volumes."""
        return len(by_volume(found.cases) if self.dimensions == 3 else found.cases)

    @property
    def canvas(self) -> Canvas:
        """How images get there."""
        return Canvas(self.size, spacing=self.spacing)


def plan_data(recipe: Recipe, found: DiscoveredDataset, *, device: str) -> tuple[DataForm, list[Choice]]:
    """How to prepare a source.

    Raises:
        UsageError: whole volumes are wanted of what has none, or with settings of images.
        DataError: images among volumes.
    """
    data = recipe.data
    if data.dimensions == 3:
        _refuse_settings_of_images(recipe, found)
        return _whole_volumes(recipe, found, "asked for")
    if data.dimensions == "auto" and _may_be_whole(recipe, found):
        volumes = evenly(by_volume(found.cases), HEADERS_READ)
        spacings = [header_spacing(planes[0].image) for planes in volumes]
        counts = [len(planes) for planes in volumes]
        if recipe.preset == "best" or are_worth_it(counts, spacings):
            step, pixel = (f"{value:g}" for value in np.median(spacings, axis=0)[[0, 2]])
            return _whole_volumes(
                recipe, found, f"the median has {np.median(counts):.0f} planes {step} mm apart, of {pixel} mm pixels"
            )
    if isinstance(data.spacing, tuple):
        raise UsageError(
            f"data.spacing={as_setting(list(data.spacing))} of images, which have rows and columns",
            expected="one number of millimetres",
            remedy="--spacing 1, say; or --dimensions 3",
        )
    size, choices = plan_size(recipe, found, device=device)
    return DataForm(2, size, data.spacing), choices


def _may_be_whole(recipe: Recipe, found: DiscoveredDataset) -> bool:
    """Whether volumes may stay whole where nobody says: to be segmented, and nothing is said that is of images."""
    data = recipe.data
    of_images = data.size not in ("auto", NATIVE) or data.keep_aspect or data.crop or data.keep_empty < 1
    of_images = of_images or recipe.preset == "fast" or data.neighbours > 0
    return recipe.task == "segment" and found.has_masks and not of_images and all(map(has_geometry, found.cases))


def _refuse_settings_of_images(recipe: Recipe, found: DiscoveredDataset) -> None:
    """Settings that whole volumes do not have.

    Raises:
        UsageError: there are some; or images are to be made; or files say nothing of where voxels lie.
        DataError: images among volumes.
    """
    data = recipe.data
    given = {
        "size": data.size not in ("auto", NATIVE),
        "keep_aspect": data.keep_aspect,
        "crop": data.crop,
        "keep_empty": data.keep_empty < 1,
        "neighbours": data.neighbours > 0,
    }
    if said := [f"data.{name}" for name, is_given in given.items() if is_given]:
        raise UsageError(
            f"{', '.join(said)} with data.dimensions=3: whole volumes keep their size and all their planes",
            remedy="leave it out, or --dimensions 2",
        )
    if recipe.task == "generate":
        raise UsageError("data.dimensions=3 for task generate, which makes images", remedy="--dimensions 2")
    by_volume(found.cases, remedy=f"--dimensions 2, or {LEAVE_OUT}")
    if flat := next((case for case in found.cases if not has_geometry(case)), None):
        raise UsageError(
            f"data.dimensions=3, and {flat.image} does not say where its voxels lie",
            expected="NIfTI, NRRD, MHA or DICOM",
            remedy="convert it, or --dimensions 2",
        )


def _whole_volumes(recipe: Recipe, found: DiscoveredDataset, why: str) -> tuple[DataForm, list[Choice]]:
    choices = [Choice("data.dimensions", 3, f"{why}: volumes are looked at as a whole")]
    if (spacing := recipe.data.spacing) is not None:
        steps = spacing if isinstance(spacing, tuple) else (spacing, spacing, spacing)
        _refuse_steps(steps)
        return DataForm(3, None, steps), choices
    volumes = evenly(by_volume(found.cases), HEADERS_READ)
    spacings = [header_spacing(planes[0].image) for planes in volumes]
    target = target_spacing(spacings)
    alike = "that" if len(set(spacings)) == 1 else "the median along each axis, of thick ones the tenth percentile,"
    reason = f"{alike} of {counted(len(volumes), 'volume')}: between planes, rows and columns"
    between, down, across = target
    return DataForm(3, None, (between, down, across)), [*choices, Choice("data.spacing", list(target), reason)]


def _refuse_steps(steps: Sequence[float]) -> None:
    """A spacing that no scanner has.

    Raises:
        UsageError: it is one.
    """
    if not all(SMALLEST_STEP <= step <= LARGEST_STEP for step in steps):
        raise UsageError(
            f"data.spacing={as_setting(list(steps))} of whole volumes",
            expected=f"{SMALLEST_STEP:g} to {LARGEST_STEP:g} mm between planes, rows and columns",
            remedy="--spacing 1, say; or leave it out",
        )


def plan_size(recipe: Recipe, found: DiscoveredDataset, *, device: str) -> tuple[tuple[int, int] | None, list[Choice]]:
    """The size in pixels at which to prepare images; None: each keeps its own.

    A small size is chosen where masks stay sharp in it.
    """
    data = recipe.data
    if data.size == NATIVE:
        return None, []
    if data.size != "auto":
        return data.size, []
    median = median_size(_shapes(found.cases, Canvas(None, spacing=data.spacing)))
    limit = LARGEST_SMALL_SIDE.get(device, LARGEST_SMALL_SIDE["cuda"])
    size = size_within(median, limit)
    if recipe.task == "segment" and recipe.preset != "fast" and max(median) > limit and _has_own_size(data):
        if recipe.preset == "best":
            return None, [Choice("data.size", NATIVE, "preset best: nothing is made smaller")]
        sharp = next(iter(sharpness(_masks(found), [Canvas(size)])), None)
        if sharp is not None and sharp.is_costly:
            return None, [Choice("data.size", NATIVE, f"each image keeps its own size: {sharp.sentence}")]
    resampled = f" at {spacing_words(data.spacing)}" if data.spacing else ""
    reason = (
        f"the images' median size{resampled} is {median[0]:.0f} x {median[1]:.0f}; sides are at most {limit} on "
        f"{device} and divisible by 4"
    )
    return size, [Choice("data.size", list(size), reason)]


def _has_own_size(data: DataSection) -> bool:
    """Whether nothing is said that needs one size for all."""
    return not (data.keep_aspect or data.crop or data.spacing)


def _masks(found: DiscoveredDataset) -> Iterator[OriginalMask]:
    """Some masks as classes, by what these say themselves; unreadable ones are left to `prepare`."""
    rows, raws = rows_to_measure(found.cases), list[np.ndarray]()
    for row in rows:
        with suppress(DataError):
            raws.append(read_mask(found.cases[row].masks[0]))
    counts = sum((Counter(count_values(raw)) for raw in raws), Counter[int]())
    try:
        rule = decide_mask_rule(counts, ignore=found.ignore) if counts else None
    except DataError:
        return
    for raw in raws:
        with suppress(DataError):
            if rule is not None:
                yield OriginalMask(rule.apply(raw))


def own_sizes(form: DataForm, found: DiscoveredDataset) -> list[tuple[int, ...]]:
    """The sizes that some of the images or volumes keep."""
    if form.dimensions == 2:
        return _shapes(found.cases, form.canvas)
    sizes = list[tuple[int, ...]]()
    for planes in evenly(by_volume(found.cases), IMAGES_READ):
        with suppress(DataError):
            height, width = read_image(planes[0].image).shape[:2]
            original = (len(planes), height, width)
            sizes.append(form.canvas.place(original, header_spacing(planes[0].image)).canvas)
    return sizes or [(64, 64, 64)]


def _shapes(cases: Sequence[Case], canvas: Canvas) -> list[tuple[int, ...]]:
    """Sizes of some images in a canvas; unreadable ones are left to `prepare`, which lists them all."""
    shapes = list[tuple[int, ...]]()
    for case in evenly(cases, IMAGES_READ):
        with suppress(DataError):
            facts = image_facts(case.image, read_image(case.image))
            known = canvas.spacing is None or facts.spacing is not None
            placed = (canvas if known else Canvas(None)).place(facts.size, facts.spacing)
            shapes.append(placed.canvas)
    return shapes or [(64, 64)]


def median_size(shapes: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
    """The median along each axis."""
    return tuple(np.median(np.array(shapes), axis=0).tolist())


def plan_patch(recipe: Recipe, median: tuple[float, ...], *, device: str) -> tuple[tuple[int, ...], list[Choice]]:
    """The sides of the patches to train on, of images or volumes that keep their own size.

    Raises:
        UsageError: whole images of different sizes make no batch; images are to be made, which have one size; or a
            patch has other axes than the data.
    """
    wanted, axes = recipe.data.patch, len(median)
    if recipe.task == "generate":
        raise UsageError(
            "each image of the data keeps its own size, and generated images have one",
            remedy="prepare the data at one: --size 128, say",
        )
    if wanted == "whole":
        raise UsageError(
            "data.patch=whole of images that keep their own size: they make no batch",
            remedy="--set data.patch=auto, or prepare the data at one size",
        )
    if isinstance(wanted, tuple):
        refuse_other_axes(wanted, axes)
        return wanted, []
    patch = _image_patch(median, device) if axes == 2 else _volume_patch(median, device)
    largest = PATCH_SIDE.get(device, PATCH_SIDE["cuda"]) if axes == 2 else None
    voxels = PATCH_VOXELS.get(device, PATCH_VOXELS["cuda"])
    limit = f"have sides up to {largest}" if largest else f"have up to {voxels} voxels, in the shape of the median"
    reason = (
        f"the {'images' if axes == 2 else 'volumes'} keep their own size, in the median "
        f"{' x '.join(f'{side:.0f}' for side in median)}; patches {limit} on {device}"
    )
    return patch, [Choice("data.patch", list(patch), reason)]


def refuse_other_axes(patch: Sequence[int], axes: int) -> None:
    """Patches of images from volumes, or the other way round.

    Raises:
        UsageError: they are.
    """
    if len(patch) != axes:
        raise UsageError(
            f"data.patch={as_setting(list(patch))} of {'images' if axes == 2 else 'whole volumes'}",
            expected="height and width" if axes == 2 else "planes, height and width",
            remedy="--set data.patch=auto",
        )


def _image_patch(median: tuple[float, ...], device: str) -> tuple[int, ...]:
    limit = PATCH_SIDE.get(device, PATCH_SIDE["cuda"])
    return tuple(min(limit, math.ceil(side / PATCH_STEP) * PATCH_STEP) for side in median)


def _volume_patch(median: tuple[float, ...], device: str) -> tuple[int, ...]:
    """From the median volume, the axis that is largest beside it shrinks until memory and time allow a step."""
    limit = PATCH_VOXELS.get(device, PATCH_VOXELS["cuda"])
    sides = [math.ceil(side / PATCH_SIDE_STEP) * PATCH_SIDE_STEP for side in median]
    while math.prod(sides) > limit:
        axis = max(range(3), key=lambda k: (sides[k] > PATCH_SIDE_STEP, sides[k] / median[k]))
        sides[axis] -= PATCH_SIDE_STEP
    return tuple(sides)
