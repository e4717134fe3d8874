"""What lies below a folder or in a ZIP archive: one entry per file, in natural order, hidden files counted.

Links are followed, also out of the folder: data sets are often laid out over several disks. Each folder is gone through
once, whatever leads to it. What is no regular file stays an entry, and is refused when it is read (`sfumato.files`).

An entry knows two things: the locator under which the file is read, and its path below the source. All that a layout
says is said by that path, so folders and archives are understood by the same rules.
"""

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.colours import LABELMAP_FILE as TABLE_OF_COLOURS
from sfumato.data.formats.image import IMAGE_SUFFIXES, is_image_name
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import FILES, is_volume
from sfumato.data.formats.scan import VOLUME_SUFFIXES as VOLUMES
from sfumato.data.order import natural
from sfumato.errors import DataError, listed
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

PathParts = tuple[str, ...]
"""A path below the source."""

ARRAYS = (".npy", ".npz")
TABLES = (".csv", ".tsv", ".txt")
_READ = (*IMAGE_SUFFIXES, *VOLUMES, *ARRAYS, *TABLES, ".json", ".zip", ".gz")
"""Endings of what is read, or of what is no folder."""

HEADERS = (".mhd", ".nhdr", ".hdr")
VOXELS = re.compile(r"\.(?:z?raw|img|dat|bin)(?:\.gz)?$", re.IGNORECASE)
"""Endings of headers, and of the files beside them that hold their voxels."""

_IGNORED = {"thumbs.db", "desktop.ini", "__macosx", "icon\r"}
NO_PLACE_FOR_IMAGES = {"__macosx", ".git", ".svn", ".hg", ".dvc", ".datalad"}
"""Hidden folders that hold copies for other programs."""

SOME = 5
"""Names in a note."""
_MOST_KINDS = 10
"""Kinds of files in a note."""
_TOLD = (*TABLES, ".lst", ".list", ".json", ".xlsx", ".xls", ".ods")
"""Endings of tables and lists."""
ENDING = re.compile(r"(?:\.(?:nii|p[bgnp]m)\.gz|\.(?!\d+$)[^.]*)$", re.IGNORECASE)
"""What ends a name; a number does not (DICOM files are often called 1.2.840.113)."""


class SourceFile(NamedTuple):
    """A file of a source.

    Attributes:
        locator: where it is read: an absolute path, or `archive.zip::member`.
        parts: its path below the source, the name last.
    """

    locator: str
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """The name without its ending; `.nii.gz` is one ending."""
        return _without_ending(self.parts[-1])

    @property
    def where(self) -> str:
        """The path below the source, for people."""
        return "/".join(self.parts)


@lru_cache(maxsize=65536)
def _without_ending(name: str) -> str:
    return ENDING.sub("", name) or name


def ending_among(names: Iterable[str]) -> str:
    """How most of some names of files end, for patterns: `.nii.gz`; `.*` where there are none."""
    endings = Counter(name[len(_without_ending(name)) :] for name in names)
    return endings.most_common(1)[0][0] if endings else ".*"


def place_among(locators: Iterable[str]) -> str:
    """Where some files lie, as a pattern to be filled in: `PLACE/{id}.png`; a DICOM series is a folder of files."""
    names = [os.path.basename(locator) for locator in locators]  # noqa: PTH119 - may be many
    is_series = bool(names) and not names[0].lower().endswith((*IMAGE_SUFFIXES, *FILES, *ARRAYS))
    return f"PLACE/{{id}}{'/*' if is_series else ''}{ending_among(names)}"


class Listing(NamedTuple):
    """Files in natural order, and what to know of the rest.

    Attributes:
        entries: the files.
        hidden: how many hidden files and folders were passed over.
        notes: what a person should know of them and of links, in sentences.
    """

    entries: list[SourceFile]
    hidden: int
    notes: tuple[str, ...] = ()


def files_below(folder: Path) -> Listing:
    """All files below a folder; links are followed, and no folder is gone through twice.

    Raises:
        DataError: folders cannot be read, or links that may be folders lead nowhere (all are listed).
    """
    root = str(folder.absolute())
    walk = _Walk(root)
    walk.finish()
    if walk.unreadable:
        raise DataError(
            f"{root}: {counted(len(walk.unreadable), 'folder')} cannot be read:\n{listed(sorted(walk.unreadable))}",
            expected="folders that may be read",
            remedy="mend their permissions, or give a folder without them",
            code="DATA-001",
        )
    if walk.dangling:
        found = counted(len(walk.dangling), "link leads", "links lead")
        raise DataError(
            f"{root}: {found} to what is not there:\n{listed(sorted(walk.dangling))}",
            expected="links to files and folders that are there: these may be half of the data",
            remedy="mount or restore what they point at, or remove them",
            code="DATA-001",
        )
    return Listing(in_order(walk.entries), walk.hidden, tuple(walk.notes()))


class _Walk:
    """A walk through all folders below one: its own first, then those that links lead to.

    So a folder that can be reached in several ways goes by its own name, and a link to a folder above ends there.

    Args:
        root: where it starts, absolute.
    """

    def __init__(self, root: str) -> None:
        self.entries = list[SourceFile]()
        self.hidden = 0
        self.unreadable, self.dangling = list[str](), list[str]()
        self._root, self._real = root, os.path.realpath(root) + os.sep
        self._linked: deque[PathParts] = deque()
        self._seen: dict[tuple[int, int], str] = {}
        self._again, self._outside, self._unseen = list[str](), list[str](), list[str]()

    def finish(self) -> None:
        """Go through everything."""
        self._from(())
        while self._linked:
            self._from(self._linked.popleft())

    def _from(self, start: PathParts) -> None:
        places = [start]
        while places:
            above = places.pop()
            try:
                if not self._is_new(above):
                    continue
                with os.scandir(self._path(above)) as found:
                    items = sorted(found, key=lambda item: item.name)
            except OSError as error:
                raise_shortage(error, reading=self._path(above))
                self.unreadable.append(f"{self._path(above)}: {error.strerror}")
                continue
            places += [(*above, item.name) for item in items if self._is_own_folder(item, (*above, item.name))]

    def _is_new(self, parts: PathParts) -> bool:
        """Whether a folder was not gone through before."""
        state = self._path(parts).stat()
        first = self._seen.setdefault((state.st_dev, state.st_ino), "/".join(parts) or ".")
        if first != ("/".join(parts) or "."):
            self._again.append(f"{'/'.join(parts)} is {first}")
            return False
        return True

    def _is_own_folder(self, item: os.DirEntry[str], parts: PathParts) -> bool:
        """Whether an item is a folder and no link; everything else is noted."""
        if is_hidden(item.name):
            self.hidden += 1
            self._unseen += _images_in(item)
        elif not item.is_symlink():
            if item.is_dir():
                return True
            self.entries.append(SourceFile(item.path, parts))
        else:
            self._follow(item, parts)
        return False

    def _follow(self, item: os.DirEntry[str], parts: PathParts) -> None:
        try:
            is_folder = stat.S_ISDIR(item.stat().st_mode)
        except OSError as error:  # it leads nowhere, or in a circle
            raise_shortage(error, reading=item.path)
            if not item.name.lower().endswith(_READ):
                self.dangling.append(item.path)
                return
            is_folder = False  # what should be there would be read: it is told with all other files that cannot be
        else:
            if not f"{os.path.realpath(item.path)}{os.sep}".startswith(self._real):
                self._outside.append("/".join(parts))
        if is_folder:
            self._linked.append(parts)
        else:
            self.entries.append(SourceFile(item.path, parts))

    def _path(self, parts: PathParts) -> Path:
        return Path(self._root, *parts)

    def notes(self) -> Iterator[str]:
        """What to know of links and hidden files."""
        if self._outside:
            yield f"links that lead out of the folder, followed: {_some(sorted(self._outside))}"
        if self._again:
            yield f"folders that links lead to again, read once: {_some(sorted(self._again))}"
        yield from _hidden_images(self._unseen)


def _some(names: Sequence[str]) -> str:
    """How many, and some of them."""
    return f"{len(names)} ({', '.join(names[:SOME])}{' ...' if len(names) > SOME else ''})"


def _some_of_each(entries: Sequence[SourceFile]) -> str:
    """How many, and one of each kind, tables and lists first; where kinds are few, further names."""
    names = sorted(dict.fromkeys(entry.name for entry in entries), key=lambda name: not name.lower().endswith(_TOLD))
    firsts = set({_kind(name): name for name in reversed(names)}.values())
    shown = sorted(names, key=lambda name: name not in firsts)[: max(SOME, min(len(firsts), _MOST_KINDS))]
    more = " ..." if len(entries) > len(shown) else ""
    return f"{len(entries)} ({', '.join(shown)}{more})"


def _kind(name: str) -> str:
    """What files are alike in: the ending, else the name without its numbers."""
    stem = _without_ending(name)
    return name[len(stem) :].lower() or re.sub(r"\d+", "", stem)


def _images_in(item: os.DirEntry[str]) -> list[str]:
    """Files that are named like images, in a hidden folder or as a hidden file."""
    if item.name.lower() in NO_PLACE_FOR_IMAGES:
        return []
    if not item.is_dir(follow_symlinks=False):
        return [item.name] if _is_like_an_image(item.name) else []
    below = os.walk(item.path)  # what cannot be read in there is passed over too
    return [f"{item.name}/.../{name}" for _, _, names in below for name in names if _is_like_an_image(name)]


def _is_like_an_image(name: str) -> bool:
    """Whether a name ends like that of an image, and is not that of what macOS lays beside it (`._a.png`)."""
    return not name.startswith("._") and name.lower().endswith((*IMAGE_SUFFIXES, *VOLUMES, *ARRAYS))


def _hidden_images(names: Sequence[str]) -> Iterator[str]:
    if names:
        shown = _some(sorted(names))
        yield f"of what is hidden, not used, named like images: {shown}; without the dot they would be read"


def members_below(archive: str, names: Iterable[str]) -> Listing:
    """The members of a ZIP archive; a backslash separates folders too, as some programs of Windows write it."""
    entries, unseen, hidden = list[SourceFile](), list[str](), 0
    for name in names:
        parts = tuple(re.split(r"[/\\]+", name))
        if not any(map(is_hidden, parts)):
            entries.append(SourceFile(f"{archive}::{name}", parts))
            continue
        hidden += 1
        if _is_like_an_image(parts[-1]) and not {part.lower() for part in parts} & NO_PLACE_FOR_IMAGES:
            unseen.append(name)
    return Listing(in_order(entries), hidden, tuple(_hidden_images(unseen)))


def in_order(entries: Iterable[SourceFile]) -> list[SourceFile]:
    """Entries by their paths, 2 before 10."""
    return sorted(entries, key=lambda entry: natural(entry.where))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems leave behind."""
    return name.startswith(".") or name.lower() in _IGNORED


def is_picture_file(entry: SourceFile) -> bool:
    """Whether an entry is named like an image file."""
    return is_image_name(entry.name)


def is_array(entry: SourceFile) -> bool:
    """Whether an entry is named like an array of NumPy."""
    return entry.name.lower().endswith(ARRAYS)


def is_scan(entry: SourceFile) -> bool:
    """Whether an entry is a volume (NIfTI, NRRD, MHA, DICOM); those inside of an archive are not read."""
    if is_picture_file(entry):
        return False
    target = Locator.parse(entry.locator)
    return not target.member and is_volume(target.path)


def divided(
    entries: Sequence[SourceFile], wanted: Callable[[SourceFile], bool]
) -> tuple[list[SourceFile], list[SourceFile]]:
    """Those that are wanted, and the others."""
    chosen, others = list[SourceFile](), list[SourceFile]()
    for entry in entries:
        (chosen if wanted(entry) else others).append(entry)
    return chosen, others


def not_read(entries: Iterable[SourceFile], why: str) -> list[str]:
    """A note about images and volumes that a reader passes over, with how many each folder holds."""
    held = Counter(
        "/".join(entry.parts[:-1]) or "."
        for entry in entries
        if is_picture_file(entry) or is_array(entry) or is_scan(entry)
    )
    shown = ", ".join(f"{folder} ({count})" for folder, count in held.most_common(SOME))
    more = ", ..." if len(held) > SOME else ""
    return [f"images or volumes {why}, not used: {held.total()} ({shown}{more})"] if held else []


def _unused(listing: Listing, others: Sequence[SourceFile]) -> list[SourceFile]:
    """Files that are not used, without the voxels of a header that lies beside them (`a.raw` of `a.mhd`)."""
    headers = {entry.locator.rpartition(".")[0] for entry in listing.entries if entry.name.lower().endswith(HEADERS)}
    return [
        entry for entry in others if VOXELS.sub("", entry.locator) not in headers and entry.name != TABLE_OF_COLOURS
    ]


def left_out(listing: Listing, others: Sequence[SourceFile], *, what: str = "images") -> list[str]:
    """Notes about files that are not used, and about links."""
    notes = [f"hidden files or folders passed over: {listing.hidden}"] if listing.hidden else []
    notes += listing.notes
    if others := _unused(listing, others):
        notes.append(f"files that are no {what}, not used: {_some_of_each(others)}")
    return notes
