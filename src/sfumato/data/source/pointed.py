"""Volumes that a table points at: a file of a DICOM series stands for it, or the folder in which it is alone."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.scan import is_volume
from sfumato.data.formats.volume import Header
from sfumato.data.source.listing import Entry, files_below, is_scan
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
    headers: Mapping[str, Header]
    names: Mapping[str, Path]
    members: frozenset[str]

    def of(self, locator: str) -> str:
        """The locator of what was named: of a volume, or the file itself."""
        return self.volumes.get(locator, locator)

    def entries(self, locators: Iterable[str], known: Sequence[Entry]) -> list[Entry]:
        """Entries of files, with their paths below the root; of others, below the folder that they share."""
        listed_already = {entry.locator: entry for entry in known if entry.locator not in self.names}
        paths = {locator: self.names.get(locator, Path(locator)) for locator in locators}
        outside = [path.parent for path in paths.values() if not path.is_relative_to(self.root)]
        shared = Path(os.path.commonpath(outside)) if outside else self.root
        return [listed_already.get(name) or Entry(name, self._parts(path, shared)) for name, path in paths.items()]

    def _parts(self, path: Path, shared: Path) -> tuple[str, ...]:
        return path.relative_to(self.root if path.is_relative_to(self.root) else shared).parts or (path.name,)

    def used(self, images: Sequence[str], channels: Sequence[Sequence[str]]) -> set[str]:
        """All files that are images or parts of one."""
        return {*images, *(channel for row in channels for channel in row), *self.members}

    def are_images(self, images: Sequence[str]) -> bool:
        """Whether the images are volumes.

        Raises:
            DataError: some are, and some are not.
        """
        scans = [image for image in images if is_volume(Path(image))]
        if scans and len(scans) < len(images):
            pictures = next(image for image in images if image not in set(scans))
            raise DataError(
                f"the table names {len(scans)} volumes and {len(images) - len(scans)} pictures:\n"
                f"{listed([scans[0], pictures])}",
                expected="a table of volumes, or one of pictures",
                remedy="write a table for each",
                code="DATA-050",
            )
        return bool(scans)


def volumes_at(locators: Iterable[str], root: Path) -> Pointed:
    """What the files and folders are that a table names; only the folders of DICOM files are looked into.

    Raises:
        DataError: a folder holds no volume or several, or DICOM files are damaged.
    """
    asked = {locator: Path(locator) for locator in locators}
    folders = {locator: path for locator, path in asked.items() if path.is_dir()}
    files = {name: path for name, path in asked.items() if name not in folders and _is_dicom(path)}
    root = root.absolute()
    if not folders and not files:
        return Pointed(root, {}, {}, {}, frozenset())
    volumes: dict[str, str] = {}
    headers: dict[str, Header] = {}
    names: dict[str, Path] = {}
    members = set[str]()
    for place in {*folders.values(), *(path.parent for path in files.values())}:
        inside = _volumes_below(place, deep=place in folders.values())
        for locator, path in folders.items():
            if path == place:
                volumes[locator] = _only(path, inside)
        owner = {str(file): name for name, (_, own) in inside.items() for file in own}
        volumes |= {locator: owner[str(path)] for locator, path in files.items() if str(path) in owner}
        for name, (header, own) in inside.items():
            headers[name] = header
            members |= set(map(str, own))
            alone = len(own) > 1 and sum(len(other) > 1 for _, other in inside.values()) == 1
            names[name] = Path(name).parent if alone else Path(name)
    return Pointed(root, volumes, headers, names, frozenset(members))


def _is_dicom(path: Path) -> bool:
    return not path.name.lower().endswith(FILES) and is_volume(path)


def _volumes_below(folder: Path, *, deep: bool) -> dict[str, tuple[Header, tuple[Path, ...]]]:
    """The DICOM volumes of a folder by their locators, with their files; also those further below, if `deep`."""
    entries = files_below(folder).entries if deep else [
        Entry(str(path), (path.name,)) for path in sorted(folder.iterdir()) if path.is_file()
    ]  # fmt: skip
    scans = [Path(entry.locator) for entry in entries if is_scan(entry) and _is_dicom(Path(entry.locator))]
    if not scans:
        return {}
    from sfumato.data.formats.dicom.series import list_volumes

    return {str(one.path): (one.header, one.files) for one in list_volumes(scans) if one.header is not None}


def _only(folder: Path, inside: Mapping[str, object]) -> str:
    if len(inside) != 1:
        raise DataError(
            f"{folder} holds {len(inside) or 'no'} DICOM volumes:\n{listed(sorted(inside))}",
            expected="a folder with one series, or the path of one of the files of a series",
            remedy="name a file of the series that is meant",
            code="DATA-051",
        )
    return next(iter(inside))
