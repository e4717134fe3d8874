"""What a prepared data set holds, case by case, so that one in another place can be told to be the same.

A folder on the scratch disk of a node has another path in every job, and a copy has other times of change; what a run
depends on is the form of the images, which cases there are, in which order and split, and their pixels.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import Case

_FILES = ("dataset.json", "manifest.csv", "images.npy", "masks.npy")
"""What a prepared data set is made of."""

_COLUMNS = ("another split", "another class", "another patient, volume or origin", "other pixels")
"""What is known of each case, as a difference: the first two in words, the others as sha256, cut to `_DIGITS`."""

_DIGITS = 16
_SHOWN = 5
"""Names of cases that a difference lists."""


def stamps(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of each file: as long as they stay, its content is taken to be the same."""
    found = {name: folder / name for name in _FILES}
    known = {name: path.stat() for name, path in found.items() if path.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in known.items()}


def dataset_contents(dataset: Dataset) -> dict[str, Any]:
    """The form of the images and what is known of every case, in their order, as plain JSON; reads all pixels."""
    return {
        "spec": dataset.spec.to_dict(),
        "cases": {case.id: _known(dataset, row) for row, case in enumerate(dataset.cases)},
    }


def digest_of(described: Mapping[str, Any]) -> str:
    """One hash of all cases, for those who only ask whether two data sets are the same."""
    return _hash([repr(item).encode() for item in described["cases"].items()])


def content_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two descriptions differ, a line for each kind of difference; empty for the same content."""
    return [*_forms(then["spec"], now["spec"]), *_cases(then["cases"], now["cases"])]


def _known(dataset: Dataset, row: int) -> list[str]:
    case = dataset.cases[row]
    return [case.split or "", case.label or "", _hash(_person(case)), _hash(dataset.stored(row))]


def _person(case: Case) -> list[bytes]:
    """What must not be told of a case in words; its id makes the hash of a name another one in each case."""
    return [repr((case.id, case.patient, case.volume, case.origin)).encode()]


def _hash(pieces: Sequence[bytes | memoryview]) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.hexdigest()[:_DIGITS]


def _forms(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in (name for name in then if name in now):
        before, after = _without_words(then[name]), _without_words(now[name])
        if before != after:
            yield f"{name}: {before} in the run, {after} now"


def _without_words(value: Any) -> Any:
    """A rule without the sentence that tells it, and with lists as JSON has them."""
    if isinstance(value, Mapping):
        return {name: _without_words(inner) for name, inner in value.items() if name != "text"}
    return list(map(_without_words, value)) if isinstance(value, list | tuple) else value


def _cases(then: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> Iterator[str]:
    gone, new = [name for name in then if name not in now], [name for name in now if name not in then]
    if gone:
        yield f"{_number(gone)} of the run are missing: {_first(gone)}"
    if new:
        yield f"{_number(new)} are new: {_first(new)}"
    both = [name for name in then if name in now]
    for column, what in enumerate(_COLUMNS):
        other = [name for name in both if then[name][column] != now[name][column]]
        if other:
            yield f"{what} in {_number(other)}: {_first(other)}"
    if not gone and not new and list(then) != list(now):
        yield "the cases are in another order"


def _number(names: Sequence[str]) -> str:
    return f"{len(names)} case{'s' * (len(names) > 1)}"


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown
