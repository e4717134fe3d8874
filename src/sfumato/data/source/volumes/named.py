"""Labels that files name themselves (DICOM segmentations, RTSTRUCT, `.seg.nrrd`), brought to one numbering of a set.

A file numbers its segments as it likes: 1 may be the liver in one and the spleen in the next. Where the names say so,
values are given by name. `--class-names liver,spleen` chooses some of them, and their order.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.order import natural
from sfumato.data.source.discovered import ReadOptions
from sfumato.errors import DataError, listed
from sfumato.escape import visible

_SHOWN = 8

_Pairs = tuple[tuple[int, int], ...]


class Numbered(NamedTuple):
    """One numbering of a set.

    Attributes:
        names: of its classes by their values; empty where the files agree and nothing was chosen.
        notes: what was done.
    """

    names: Mapping[int, str]
    notes: tuple[str, ...] = ()

    def values(self, header: VolumeHeader) -> _Pairs:
        """The stored values of a file, and those that they have in the set: of a file with none of them the 0 alone."""
        meant = {name: value for value, name in self.names.items()}
        found = [(stored, meant[name]) for stored, name in sorted(foreground_names(header).items()) if name in meant]
        return tuple(found) or ((0, 0),)


AS_STORED = Numbered({})


def foreground_names(header: VolumeHeader) -> Mapping[int, str]:
    """The names of a file's labels, without the background."""
    return {value: name for value, name in (header.names or {}).items() if value}


def one_numbering(headers: Sequence[VolumeHeader], hints: ReadOptions) -> Numbered:
    """How the labels of a set of volumes are numbered; see `numbered_names`."""
    names = [foreground_names(header) for header in headers]
    if not names or not all(names):
        return AS_STORED
    return numbered_names(names, hints, by_name=any(header.modality == CONTOURS for header in headers))


def numbered_names(files: Sequence[Mapping[int, str]], hints: ReadOptions, *, by_name: bool) -> Numbered:
    """How the labels of a set are numbered.

    Args:
        files: names by stored values, without the background, of each file.
        hints: with the classes that a person named.
        by_name: whether nothing but names says what is drawn: values are numbers of this program.

    Raises:
        DataError: not all classes that a person named are there, and nothing but names says what is drawn.
    """
    names = sorted({name for of_file in files for name in of_file.values()}, key=natural)
    wanted = {value: name for value, name in hints.names_of_classes.items() if value}
    if wanted and set(wanted.values()) <= set(names):
        return Numbered(wanted, _about(files, wanted, names))
    if wanted and by_name:
        missing = [visible(name) for name in wanted.values() if name not in names]
        raise DataError(
            f"no region is called {', '.join(missing)}; there are:\n{listed([visible(name) for name in names])}",
            expected="--class-names among the names of the regions",
            remedy="give other --class-names, or none to have all of them",
            code="DATA-064",
        )
    if wanted and not set(wanted.values()) & set(names):  # a person named the values
        return AS_STORED
    values = dict(enumerate(names, start=1))
    if _agree(files):
        return AS_STORED
    renumbered = f"labels are numbered by their names, since files number them differently: {_some(names)}"
    return Numbered(values, (renumbered, *_about(files, values, names)))


def _agree(files: Sequence[Mapping[int, str]]) -> bool:
    """Whether each value has one name in all files, and each name one value."""
    pairs = {pair for of_file in files for pair in of_file.items()}
    return len(pairs) == len({value for value, _ in pairs}) == len({name for _, name in pairs})


def _about(files: Sequence[Mapping[int, str]], values: Mapping[int, str], names: Sequence[str]) -> tuple[str, ...]:
    unused = [name for name in names if name not in values.values()]
    lacking = sum(not set(values.values()) <= set(of_file.values()) for of_file in files)
    notes = [f"labels of other names, not used: {_some(unused)}"] if unused else []
    notes += [f"masks that lack some label, taken for having none of it: {lacking}"] if lacking else []
    return tuple(notes)


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(visible(name) for name in names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}"
