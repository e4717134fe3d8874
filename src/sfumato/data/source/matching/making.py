"""From images and their masks to cases: ids, classes, patients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from sfumato.data.manifest import Case, folded
from sfumato.data.source.matching.channels import called_after
from sfumato.data.source.people.levels import said_by_folders
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import composed


def make_cases(
    images: Sequence[Picture],
    masks: Mapping[str, tuple[str, ...]],
    channels: Mapping[str, tuple[Picture, ...]],
    class_level: int,
    *,
    labelled: bool = False,
    left: Sequence[Picture] = (),
) -> tuple[list[Case], list[str]]:
    """The cases, and what to know about them.

    Args:
        images: the first file of each image.
        masks: of each image by its locator.
        channels: all files of the images of several, by the locator of the first.
        class_level: see `ReadOptions`.
        labelled: whether a table says the classes, so that folders say none.
        left: images that are left out: frames of a film count on with them.

    Raises:
        DataError: images lie in fewer folders than the class needs.
    """
    images = [_called_alike(image, channels) for image in _in_their_cases(images, channels)]
    groups = _own_groups(images)
    every = [*images, *left] if left else []
    frames = [(group, image.entry.stem) for group, image in zip(_own_groups(every), every, strict=True)]
    said = said_by_folders(images, groups, masks=bool(masks), class_level=class_level, frames=frames)
    cases = [
        Case(
            id=name,
            image=image.entry.locator,
            channels=tuple(other.entry.locator for other in channels.get(image.entry.locator, ())[1:]),
            masks=masks.get(image.entry.locator, ()),
            label=label,
            patient=patient,
            split=image.split,
        )
        for image, name, label, patient in zip(
            images, unique_ids(images, groups), said.labels, said.patients, strict=True
        )
    ]
    if labelled:
        return [replace(case, label=None) for case in cases], []
    return cases, said.notes


def _in_their_cases(images: Sequence[Picture], channels: Mapping[str, tuple[Picture, ...]]) -> Sequence[Picture]:
    """Images in the folder of their case, where all of it lies in a folder of one name below: that tells none apart."""
    last = {image.group[-1:] for image in images}
    whole = all(called_after(channels.get(image.entry.locator, (image,)))[0] == image.stem for image in images)
    if not channels or not whole or len(images) < 2 or len(last) > 1 or any(len(image.group) < 2 for image in images):
        return images
    return [image._replace(group=image.group[:-1]) for image in images]


def _called_alike(image: Picture, channels: Mapping[str, tuple[Picture, ...]]) -> Picture:
    """An image of several files is called after what their names have in common, or after the folder of its case."""
    files = channels.get(image.entry.locator)
    if files is None:
        return image
    stem = image.stem.removesuffix(called_after(files)[0]).rstrip(" _-.")
    return image._replace(stem=stem or (image.group[-1] if image.group else image.stem))


def _own_groups(images: Sequence[Picture]) -> list[tuple[str, ...]]:
    """Groups without the folders that are common to all images: those only wrap."""
    levels = zip(*(image.group for image in images), strict=False)
    common = len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
    return [image.group[common:] for image in images]


def unique_ids(images: Sequence[Picture], groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Unique names, with as little added to the stem as needed: the group, the split, the ending, a number."""
    stems = [image.entry.stem if image.stem == composed(image.entry.stem) else image.stem for image in images]
    plain = [
        "_".join(group if group[-1:] == (stem,) else (*group, stem)) for stem, group in zip(stems, groups, strict=True)
    ]
    with_split = [f"{image.split}_{name}" if image.split else name for image, name in zip(images, plain, strict=True)]
    with_ending = [
        f"{name}_{image.entry.name[len(image.entry.stem) + 1 :]}"
        for image, name in zip(images, with_split, strict=True)
    ]
    for names in (stems, plain, with_split, with_ending):
        if len({folded(name) for name in names}) == len(names):
            return names
    return [f"{name}_{number}" for number, name in enumerate(with_ending)]
