"""From a recipe to what is told of a source, to how images are varied, and to what is diffused of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.data.source import ReadOptions
from sfumato.errors import UsageError
from sfumato.recipe import (
    Augment,
    Augmentation,
    DataSection,
    NonLeaking,
    Recipe,
    ToldSteps,
)

if TYPE_CHECKING:
    from sfumato.data.spec import Spec
    from sfumato.diffusion.representation import Representation


def build_hints(data: DataSection) -> ReadOptions:
    """What the recipe says about a source."""
    source = data.source
    return ReadOptions(
        columns={role: name for role, name in source.columns.model_dump().items() if name is not None},
        table=None if source.table is None else Path(source.table),
        drop_unpaired=source.drop_unpaired,
        group_by=source.group_by,
        class_level=source.class_level,
        slice_axis=source.slice_axis,
        component=source.component,
        pages=source.pages,
        fold=data.split.fold,
        keep_split=source.keep_split,
        images=source.images,
        masks=None if source.masks == source.masks_folder else source.masks,
        class_names=source.class_names,
        readers_by=source.readers_by,
        classes_by=source.classes_by,
        join_masks=source.join_masks,
        fill_outlines=source.fill_outlines,
    )


def build_representation(data: DataSection) -> "Representation":
    """What is diffused in place of images; bands in their own units where these are still to be measured."""
    from sfumato.diffusion.representation import PIXELS, Haar  # sources are checked without torch

    if data.representation == "pixels":
        return PIXELS
    return Haar(data.levels, data.band_deviations)


def encoded_shape(data: DataSection, spec: "Spec") -> tuple[int, ...]:
    """Channels and sides of what is diffused of the images of a data set.

    Raises:
        UsageError: the sides cannot be halved so often, or there is not one deviation for each channel.
    """
    size = spec.common_size
    refuse_uneven(data, size)
    shape = build_representation(data).shape(spec.channels, size)
    if data.band_deviations and len(data.band_deviations) != shape[0]:
        raise UsageError(
            f"data.band_deviations has {len(data.band_deviations)} numbers for {shape[0]} channels",
            expected=f"one for each channel: {data.levels} levels of images of {spec.channels} channels",
            remedy="leave it out: it is measured",
        )
    return shape


def refuse_uneven(data: DataSection, size: Sequence[int]) -> None:
    """Sides that a Haar packet cannot halve.

    Raises:
        UsageError: there are such.
    """
    block = 2**data.levels
    if data.representation == "pixels" or not any(side % block for side in size):
        return
    below = "x".join(str(max(block, side // block * block)) for side in size)
    above = "x".join(str(-(-side // block) * block) for side in size)
    raise UsageError(
        f"data.representation=haar with data.levels={data.levels}: images of {' x '.join(map(str, size))} pixels "
        f"cannot be halved {('once', 'twice', 'three times')[data.levels - 1]}",
        expected=f"sides that divide by {block}, such as {below} or {above}",
        remedy=f"prepare the images again: --size {above}",
    )


def build_augment(recipe: Recipe) -> Ranges | Pipe:
    """The numbers of `data.augment`: of a preset, of one with changes, or of the non-leaking pipe.

    `_asdict()` of them is a `data.augment` that builds the same, whatever becomes of the presets.

    Raises:
        UsageError: a non-leaking pipe for masks, or for a network that cannot be told about it.
    """
    numbers = _augment(recipe.data.augment)
    if isinstance(numbers, Pipe) and recipe.task == "segment":
        raise UsageError(
            "non_leaking augmentation is for generators: a network that makes masks of images is told nothing of it",
            remedy="--set data.augment=medium, or another preset",
        )
    if isinstance(numbers, Pipe) and isinstance(recipe.network, ToldSteps):
        raise UsageError(
            f"a network of {recipe.network.kind} cannot be told what was done to an image, so augmentation would leak",
            remedy="--set data.augment=none, or --set network.kind=unet",
        )
    return numbers


def _augment(augment: Augment) -> Ranges | Pipe:
    match augment:
        case "auto":
            raise AssertionError("the plan resolves every auto before objects are built")
        case "non_leaking":
            return Pipe()
        case Augmentation() as own:
            return PRESETS[own.base]._replace(**own.model_dump(exclude={"base"}, exclude_none=True))
        case NonLeaking() as own:
            return Pipe(**own.model_dump(exclude={"kind"}, exclude_none=True))
        case _:
            return PRESETS[augment]
