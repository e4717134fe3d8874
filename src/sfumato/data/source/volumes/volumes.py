"""Folders of volumes: which are images and which labels, and one case for each of their planes.

Volumes are arranged like pictures (`source.layout`), and a word such as `seg` or `label` counts wherever it stands in a
name: `t2_seg-manual` belongs to the volume whose name it continues. What a DICOM segmentation was drawn on, it says
itself; of several that were drawn on one image, the names of their labels tell classes (`source.several`).

All volumes of a source are cut along one axis: the one that most of them have as that of the thickest slices. An image
over time whose mask has as many frames is read frame by frame (`source.cine`); several values of a voxel that share a
mask are channels (`source.components`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.volume import Axis, VolumeHeader, thickest_axis
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.listing import SourceFile, divided
from sfumato.data.source.matching.layout import Arranged, match_masks
from sfumato.data.source.matching.ongrid import ways_on_grid
from sfumato.data.source.people.persons import look_for_persons
from sfumato.data.source.scans import Scans, list_scans
from sfumato.data.source.volumes import cine, components
from sfumato.data.source.volumes.cut import cut_into_planes
from sfumato.data.source.volumes.named import AS_STORED, Numbered, foreground_names, one_numbering
from sfumato.data.source.volumes.retold import retold
from sfumato.data.source.volumes.volume_case import NO_HEADERS, VolumeCase, read_volume_case
from sfumato.data.source.words import without_mask_words
from sfumato.errors import DataError, listed, raise_together

IN_TIME = re.compile(r"(?:^|[ _.-])(?:4d|(?:half[ _-]?)?sequence|seq|cine|movie|video|all[ _-]?frames)$", re.IGNORECASE)
"""How names of volumes end that hold all points in time."""

OTHER_GRID = "DATA-012"

_SHOWN = 10
"""Remarks on volumes that are told; the others are counted."""


class _Drawn(NamedTuple):
    """Volumes that are images, masks whose image is known, and notes on what is left out of both."""

    images: list[SourceFile]
    on: dict[SourceFile, str]
    notes: list[str]


def find_in_volumes(
    entries: Sequence[SourceFile], masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> DiscoveredDataset:
    """The planes of volumes.

    Raises:
        DataError: volumes without partner, with several labels of different meaning, with several components, on
            different grids, or damaged (all are listed).
    """
    apart = {entry.locator for entry in masks or ()}
    scans = list_scans([*entries, *(masks or ())])
    separate, images = divided(scans.entries, lambda entry: entry.locator in apart)
    drawn_on = _drawn_on(scans, in_own_folder=masks is not None)
    rest = None if masks is None else [entry for entry in separate if entry not in drawn_on]
    drawn = _without_further(images, drawn_on, scans, hints)
    labels = _labels(scans)
    arranged = match_masks(drawn.images, masks=rest, known=drawn.on, hints=hints, anywhere=True, labels=labels)
    notes = [*arranged.notes, *scans.notes, *drawn.notes]
    return cut_volumes(arranged._replace(notes=notes), hints, headers=scans.headers, beside=scans.entries)


def _without_further(
    images: list[SourceFile], drawn_on: dict[SourceFile, str], scans: Scans, hints: ReadOptions
) -> _Drawn:
    """Images without those of all points in time, masks without what is there in another form; all, if it is said."""
    if hints.images is not None or hints.masks is not None:
        return _Drawn(images, drawn_on, [])
    images, notes = _without_series_in_time(images)
    if hints.is_said_of_masks or hints.images_only:
        return _Drawn(images, drawn_on, notes)
    again = retold(drawn_on, scans.headers)
    images = [entry for entry in images if entry not in again.contours]
    drawn_on = {mask: image for mask, image in drawn_on.items() if mask not in again.contours}
    return _Drawn(images, drawn_on, [*notes, *again.notes])


def _drawn_on(scans: Scans, *, in_own_folder: bool) -> dict[SourceFile, str]:
    """Segmentations and contours with the image they were drawn on; "" where it is not among the files.

    Of masks in a folder of their own, those without an image may have the name of one.
    """
    drawn_on = dict[SourceFile, str]()
    for entry in scans.entries:
        image = scans.drawn_on.get(entry.locator)
        if image or (image is not None and not in_own_folder):
            drawn_on[entry] = image
    return drawn_on


def _labels(scans: Scans) -> dict[str, frozenset[str]]:
    """The names of what is drawn in segmentations and contours, by their locators."""
    labels = dict[str, frozenset[str]]()
    for mask in scans.drawn_on:
        if mask in scans.headers:
            labels[mask] = frozenset(foreground_names(scans.headers[mask]).values())
    return labels


def _without_series_in_time(entries: list[SourceFile]) -> tuple[list[SourceFile], list[str]]:
    """Volumes without those of all points in time (`p1_4d`) where some of these (`p1_frame01`) lie beside them."""
    single = {entry.parts[:-1] for entry in entries if not _is_in_time(entry)}
    whole = [entry for entry in entries if entry.parts[:-1] in single and _is_in_time(entry)]
    if not whole:
        return entries, []
    note = (
        f"volumes of all points in time beside single ones, not used: {len(whole)} ({whole[0].where} ...); --images "
        "and --masks with a pattern name other files"
    )
    return [entry for entry in entries if entry not in set(whole)], [note]


def _is_in_time(entry: SourceFile) -> bool:
    """Whether a volume, or the image of a mask, is called one of all points in time."""
    return any(IN_TIME.search(stem) for stem in (entry.stem, *(way.stem for way in without_mask_words(entry.stem))))


def cut_volumes(
    arranged: Arranged,
    hints: ReadOptions,
    *,
    form: str = "volumes",
    headers: Mapping[str, VolumeHeader] = NO_HEADERS,
    channels: int = 0,
    beside: Sequence[SourceFile] = (),
) -> DiscoveredDataset:
    """Turn cases that name volumes into cases that name planes.

    Args:
        arranged: the cases of volumes.
        hints: what the files leave open.
        form: what the source was taken for.
        headers: those that are known already, by locator.
        channels: how many channels of an image the source names; 0 where it does not.
        beside: the files of the source, one of which may be what a mask was drawn on.

    Raises:
        DataError: as for `find_in_volumes`.
    """
    frame = hints.component if isinstance(hints.component, int) else None
    read = _read(arranged.cases, hints, headers, channels, beside)
    volumes, notes = read.volumes, list(arranged.notes)
    if form == "volumes" and hints.images is None:
        _refuse_masks_as_images(volumes)
    numbered = AS_STORED if arranged.mask_names else _numbered(volumes, hints)
    volumes = [_with_values(volume, numbered) for volume in volumes]
    axis = _common_axis(volumes) if hints.slice_axis == "auto" else hints.slice_axis
    if form == "volumes" and not hints.class_level:
        volumes, about_patients = _patients(volumes)
        notes += about_patients
    notes += numbered.notes
    if frame is None:
        notes += cine.cine_notes(read.frames)
    if hints.component is None:
        notes += _told_channels(volumes)
    cases = [plane for volume in volumes for plane in cut_into_planes(volume, axis)]
    notes += _notes(volumes, cases, axis, chosen=hints.slice_axis != "auto")
    names = arranged.mask_names or numbered.names or _mask_names(volumes)
    found = arranged._replace(cases=cases, notes=notes).found(form)
    return found._replace(modality=_modality(volumes), mask_names=names)


class _Read(NamedTuple):
    """Cases of volumes, one for each frame that is read of those over time, and these frames."""

    volumes: list[VolumeCase]
    frames: list[cine.Frames]


def _read(
    cases: Sequence[Case],
    hints: ReadOptions,
    headers: Mapping[str, VolumeHeader],
    channels: int,
    beside: Sequence[SourceFile],
) -> _Read:
    """The headers of all cases.

    Raises:
        DataError: of all cases together; or no mask shows anything.
    """
    frame = hints.component if isinstance(hints.component, int) else None
    read, problems = _Read([], []), list[DataError]()
    for case in cases:
        try:
            volume = read_volume_case(case, hints, headers, channels)
            if cine.are_frames(volume.header, volume.masks):
                frames = cine.frames_of(case.image, volume.masks, frame)
                read.frames.append(frames)
                read.volumes.extend(_by_frames(volume, frames, alone=frame is not None))
            else:
                read.volumes.append(volume)
        except DataError as error:
            problems.append(error if problems else _with_other_images(error, case, beside))
    raise_together(problems)
    if not read.volumes:
        raise _nothing_drawn(cases)
    return read


def _with_other_images(error: DataError, case: Case, beside: Sequence[SourceFile]) -> DataError:
    """An error about the grids of a case with the images on whose grid its mask lies, where others have it."""
    parts = [part.locator for mask in case.masks for part in mask_parts(mask)]
    ways = ways_on_grid((case.image, *case.channels), parts[0], beside) if error.code == OTHER_GRID and parts else ""
    if ways:
        error.remedy = f"the masks lie on the grid of other images: {ways}; or {error.remedy}"
    return error


def _by_frames(volume: VolumeCase, frames: cine.Frames, *, alone: bool) -> Iterator[VolumeCase]:
    """A case for each frame, or for the one that a person chose, which keeps its name."""
    case, digits = volume.case, max(2, len(str(frames.total - 1)))
    for frame in frames.drawn:
        of_frame = replace(case, id=f"{case.id}_t{frame:0{digits}d}", patient=case.patient or case.id)
        yield volume._replace(components=(frame,), case=case if alone else of_frame)


def _nothing_drawn(cases: Sequence[Case]) -> DataError:
    return DataError(
        f"no frame of a mask shows anything, such as {cases[0].masks[0]}",
        expected="volumes over time with masks on some of their frames",
        remedy="export the masks again; an empty frame is taken with --component",
        code="DATA-063",
    )


def _refuse_masks_as_images(volumes: Sequence[VolumeCase]) -> None:
    """Refuse masks that are stored as images, and were taken for such beside others: a generator would make them.

    Raises:
        DataError: some images, and not all, are described as masks.
    """
    images = {volume.case.image: volume.header.called_mask for volume in volumes}
    drawn = [image for image, called in images.items() if called]
    if drawn and len(drawn) < len(images):
        raise DataError(
            f"{len(drawn)} of {len(images)} images are masks by the description of their series:\n{listed(drawn)}",
            expected="masks that belong to images by their names, or by a table",
            remedy="give the table that names the image and the mask of each row, as the source or with --labels; or "
            "say by their paths which are meant: --images 'PLACE/{id}/*.dcm' --masks 'PLACE/{id}/*.dcm'",
            code="DATA-068",
        )


def _numbered(volumes: Sequence[VolumeCase], hints: ReadOptions) -> Numbered:
    return one_numbering([header for volume in volumes for header in volume.masks.values()], hints)


def _with_values(volume: VolumeCase, numbered: Numbered) -> VolumeCase:
    """A case whose masks have the values of the set."""
    if not numbered.names:
        return volume
    laid = {mask: laid._replace(values=numbered.values(volume.masks[mask])) for mask, laid in volume.laid.items()}
    return volume._replace(laid=laid)


def _patients(volumes: list[VolumeCase]) -> tuple[list[VolumeCase], list[str]]:
    """Folders that hold one volume each are no classes: they are patients. So are numbers of which most hold one."""
    labels = {volume.case.image: volume.case.label for volume in volumes}
    folders = Counter(label for label in labels.values() if label is not None)
    if len(labels) < 2 or folders.total() < len(labels):
        return volumes, []
    ones = sum(count == 1 for count in folders.values())
    if ones == len(folders):
        each = "one volume each"
    elif 2 * ones > len(folders) and look_for_persons(folders.elements()).doubtful:
        each = "one volume each, as most of them have,"
    else:
        return volumes, []
    named = [volume._replace(case=replace(volume.case, label=None, patient=volume.case.label)) for volume in volumes]
    return named, [f"folders with {each} are no classes: {len(folders)}"]


def _common_axis(volumes: Sequence[VolumeCase]) -> Axis:
    return Counter(thickest_axis(volume.header) for volume in volumes).most_common(1)[0][0]


def _once(volumes: Iterable[VolumeCase]) -> list[VolumeCase]:
    """Each image once, of whose frames some may be cases."""
    return list({volume.case.image: volume for volume in volumes}.values())


def _told_channels(volumes: Sequence[VolumeCase]) -> list[str]:
    once = _once(volumes)
    values = [len(volume.components) for volume in once if len(volume.components) > 1]
    return components.component_notes(values, sum(volume.stacked is not None for volume in once))


def _notes(volumes: Sequence[VolumeCase], cases: Sequence[Case], axis: Axis, *, chosen: bool) -> Iterator[str]:
    """What to know of the volumes and their planes."""
    if len(cases) > len(volumes):
        yield _told_planes(_once(volumes), len(cases), axis, chosen=chosen)
    if labels := [volume.case.id for volume in volumes if volume.header.label]:
        yield f"volumes that say they hold labels, used as images: {len(labels)} ({', '.join(labels[:5])})"
    remarks = _remarks(_once(volumes))
    for remark, count in remarks.most_common(_SHOWN):
        yield f"{remark} ({count} volumes)" if count > 1 else remark
    if len(remarks) > _SHOWN:
        yield f"... and {len(remarks) - _SHOWN} more remarks of this kind"


def _told_planes(volumes: Sequence[VolumeCase], planes: int, axis: Axis, *, chosen: bool) -> str:
    told = f"volumes, cut into {axis} planes: {len(volumes)} ({planes} planes)"
    other = sum(thickest_axis(volume.header) != axis for volume in volumes)
    return told if chosen or not other else f"{told}; in {other} of them the slices along another axis are thicker"


def _remarks(volumes: Sequence[VolumeCase]) -> Counter[str]:
    """What files say of themselves, and what is to be said of how masks lie on images, with how often it is."""
    said = Counter[str]()
    for volume in volumes:
        for header in (volume.header, *volume.masks.values()):
            said.update(header.notes)
    for volume in volumes:
        said.update(laid.note for laid in volume.laid.values() if laid.note)
    return said


def _modality(volumes: Iterable[VolumeCase]) -> str | None:
    """What made the volumes, where all that say so agree."""
    said = {volume.header.modality for volume in volumes if volume.header.modality}
    return said.pop() if len(said) == 1 else None


def _mask_names(volumes: Iterable[VolumeCase]) -> dict[int, str]:
    """Names of the labels, where the volumes that have them agree."""
    names = defaultdict[int, set[str]](set)
    for volume in volumes:
        for header in volume.masks.values():
            for value, name in (header.names or {}).items():
                names[value].add(name)
    return {value: " or ".join(sorted(said)) for value, said in sorted(names.items())}
