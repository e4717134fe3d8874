"""Volumes that a table points at: a file of a DICOM series stands for it, or the folder in which it is alone."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.source.listing import ARRAYS, SourceFile, files_below, is_scan
from sfumato.data.source.scans import FILES
from sfumato.errors import DataError, listed


class Pointed(NamedTuple):
    """What the files and folders are that a table names.

    Attributes:
        root: the folder that paths are told from.
        volumes: the locator of the volume for each DICOM file or folder that was named.
        headers: of these volumes.
        names: what each of them is called: by its folder, if it is alone there.
        members: all files of these volumes.
    """

    root: Path
    volumes: Mapping[str, str]
    headers: Mapping[str, VolumeHeader]
    names: Mapping[str, Path]
    members: frozenset[str]

    def of(self, locator: str) -> str:
        """The locator of what was named: of a volume, or the file itself."""
        return self.volumes.get(locator, locator)

    def entries(self, locators: Iterable[str], known: Sequence[SourceFile]) -> list[SourceFile]:
        """Entries of files, with their paths below the root; of others, below the folder that they share."""
        known_already = {entry.locator: entry for entry in known if entry.locator not in self.names}
        paths = {locator: self.names.get(locator, Path(locator)) for locator in locators}
        outside = [path.parent for path in paths.values() if not path.is_relative_to(self.root)]
        shared = Path(os.path.commonpath(outside)) if outside else self.root
        entries = list[SourceFile]()
        for name, path in paths.items():
            entries.append(known_already.get(name) or SourceFile(name, self._parts(path, shared)))
        return entries

    def _parts(self, path: Path, shared: Path) -> tuple[str, ...]:
        above = self.root if path.is_relative_to(self.root) else shared
        return path.relative_to(above).parts or (path.name,)

    def used(self, images: Sequence[str], channels: Sequence[Sequence[str]]) -> set[str]:
        """All files that are images or parts of one."""
        return {*images, *(channel for row in channels for channel in row), *self.members}

    def kind(self, images: Sequence[str]) -> str:
        """What the images are: "pictures", "volumes" or "arrays".

        Raises:
            DataError: some are one thing, and some another.
        """
        first = {_kind(image): image for image in reversed(images)}
        counts = Counter(map(_kind, images))
        if len(counts) > 1:
            told = " and ".join(f"{kind} ({count})" for kind, count in counts.items())
            raise DataError(
                f"the table names {told}:\n{listed([first[kind] for kind in counts])}",
                expected="a table of volumes, of arrays, or of pictures",
                remedy="write a table for each",
                code="DATA-050",
            )
        return next(iter(counts))


def _kind(image: str) -> str:
    if image.lower().endswith(ARRAYS):
        return "arrays"
    return "volumes" if is_volume(Path(image)) else "pictures"


class _Asked(NamedTuple):
    """What a table names that a DICOM volume may be: folders, and files, by what is written there."""

    folders: Mapping[str, Path]
    files: Mapping[str, Path]

    def places(self) -> set[Path]:
        """The folders that are looked into."""
        return {*self.folders.values(), *(path.parent for path in self.files.values())}


class _Volume(NamedTuple):
    """A DICOM volume of a folder; contours have a header on their image only."""

    header: VolumeHeader | None
    files: tuple[Path, ...]


def volumes_at(locators: Iterable[str], root: Path) -> Pointed:
    """What the files and folders are that a table names; only the folders of DICOM files are looked into.

    Raises:
        DataError: a folder holds no volume or several, or DICOM files are damaged.
    """
    asked = _asked(locators)
    volumes, headers, names = dict[str, str](), dict[str, VolumeHeader](), dict[str, Path]()
    members = set[str]()
    for place in asked.places():
        inside = _volumes_below(place, deep=place in asked.folders.values())
        volumes |= _volumes_of(asked, place, inside)
        names |= _called(inside)
        for name, volume in inside.items():
            if volume.header is not None:
                headers[name] = volume.header
            members.update(map(str, volume.files))
    return Pointed(root.absolute(), volumes, headers, names, frozenset(members))


def _asked(locators: Iterable[str]) -> _Asked:
    folders, files = dict[str, Path](), dict[str, Path]()
    for locator in locators:
        path = Path(locator)
        if path.is_dir():
            folders[locator] = path
        elif _is_dicom(path):
            files[locator] = path
    return _Asked(folders, files)


def _volumes_of(asked: _Asked, place: Path, inside: Mapping[str, _Volume]) -> dict[str, str]:
    """The volume of each locator that names a folder, or a file of it."""
    volumes = {locator: _only(path, inside) for locator, path in asked.folders.items() if path == place}
    owner = {str(file): name for name, volume in inside.items() for file in volume.files}
    for locator, path in asked.files.items():
        if str(path) in owner:
            volumes[locator] = owner[str(path)]
    return volumes


def _called(inside: Mapping[str, _Volume]) -> dict[str, Path]:
    """What the volumes of a folder are called: the only one of several files after the folder."""
    series = [name for name, volume in inside.items() if len(volume.files) > 1]
    return {name: Path(name).parent if series == [name] else Path(name) for name in inside}


def as_large_as(image: str, found: Sequence[str]) -> list[str]:
    """Of several DICOM files those as large as an image: a mask may lie beside the part of the image that it shows."""
    paths = [Path(image), *map(Path, found)]
    if not all(path.is_file() and _is_dicom(path) for path in paths):
        return list(found)
    size, *sizes = (read_header(path).shape[:2] for path in paths)
    return [file for file, other in zip(found, sizes, strict=True) if other == size]


def _is_dicom(path: Path) -> bool:
    return not path.name.lower().endswith(FILES) and is_volume(path)


def _volumes_below(folder: Path, *, deep: bool) -> dict[str, _Volume]:
    """The DICOM volumes of a folder by their locators, with their files; also those further below, if `deep`."""
    entries = files_below(folder).entries if deep else _files_in(folder)
    scans = [Path(entry.locator) for entry in entries if is_scan(entry) and _is_dicom(Path(entry.locator))]
    if not scans:
        return {}
    from sfumato.data.formats.dicom.series import list_volumes

    volumes = [one for one in list_volumes(scans) if one.kind != "skipped"]
    if deep and any(one.kind == "image" for one in volumes):  # a folder is named for the images in it
        volumes = [one for one in volumes if one.kind == "image"]
    return {str(one.path): _Volume(one.header, one.files) for one in volumes}


def _files_in(folder: Path) -> list[SourceFile]:
    """The files that lie in a folder itself."""
    return [SourceFile(str(path), (path.name,)) for path in sorted(folder.iterdir()) if path.is_file()]


def _only(folder: Path, inside: Mapping[str, object]) -> str:
    if len(inside) != 1:
        several = f"{len(inside)} DICOM volumes:\n{listed(sorted(inside))}"
        held = several if inside else "no DICOM volumes"
        raise DataError(
            f"{folder} holds {held}",
            expected="a folder with one series, or the path of one of the files of a series",
            remedy="name a file of the series that is meant",
            code="DATA-051",
        )
    return next(iter(inside))
