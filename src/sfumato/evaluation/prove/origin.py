"""Where SAMPLES come from: a generator that was trained on test images hands them on to the classifier.

Every folder that sfumato writes says what it was made from, a run says on which dataset it was trained. Followed back
from SAMPLES, this leads to the images that the generator saw.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.manifest import Case, identity, is_prepared, read_manifest
from sfumato.errors import DataError, listed
from sfumato.experiment.run import Run
from sfumato.local import found
from sfumato.plain import in_form, ours
from sfumato.provenance import read_provenance

RUN_DEPTH = 3
"""A model lies at most so deep in its run: RUN/checkpoints/step-000100/ema.safetensors."""


class _Origin(NamedTuple):
    """What is known of the images that the generator was trained on.

    Attributes:
        dataset: the datasets that SAMPLES can be followed back to.
        told: in a sentence.
    """

    datasets: tuple[Path, ...]
    told: str


def trace(samples: Path, tested: Sequence[Case]) -> _Origin:
    """Follow SAMPLES back, and refuse what was made with knowledge of the test images.

    Args:
        samples: the folder of the person.
        tested: the cases that models are tested on.

    Raises:
        DataError: images or patients of the test are among those that the generator was trained on.
    """
    datasets = tuple(dict.fromkeys(_datasets_behind(samples.resolve(), set())))
    for dataset in datasets:
        _refuse_leak(dataset, tested)
    if not datasets:
        told = (
            "What the maker of SAMPLES was trained on is not known: if it saw images of this test, or of its patients, "
            "a benefit shown here is not real."
        )
    else:
        names = " and ".join(dataset.name for dataset in datasets)
        told = f"SAMPLES were made from the training images of {names}, none of which is in this test."
    return _Origin(datasets, told)


def _datasets_behind(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The prepared datasets of real images that a folder was made from."""
    for place in _inputs(folder):
        if place not in seen:
            seen.add(place)
            run = _run_of(place)
            yield from _datasets(place if run is None else run.dataset, seen)


def _inputs(folder: Path) -> list[Path]:
    """What a folder was made from, as far as it says and it is still there.

    Raises:
        DataError: it says it in another way than sfumato does.
    """
    with in_form(ours(folder / "provenance.json")):
        places = [found(entry["path"], folder) for entry in read_provenance(folder).get("inputs", {}).values()]
    return [place.resolve() for place in places if place is not None]


def _datasets(place: Path, seen: set[Path]) -> Iterator[Path]:
    """The place itself, or what is behind it."""
    if is_prepared(place) and any(case.origin == "real" for case in read_manifest(place / "manifest.csv")):
        yield place
    else:
        yield from _datasets_behind(place, seen)


def _run_of(path: Path) -> Run | None:
    """The run that a model belongs to, or that a folder is."""
    candidates = (Run(place) for place in (path, *path.parents[:RUN_DEPTH]))
    return next((run for run in candidates if (run.folder / "run.json").is_file()), None)


def _refuse_leak(dataset: Path, tested: Sequence[Case]) -> None:
    cases = read_manifest(dataset / "manifest.csv")
    trained = [case for case in cases if case.split == "train"]
    images = {identity(case.image) for case in trained}
    known = {identity(case.image) for case in cases}
    patients = set[str | None]()
    if any(identity(case.image) in known for case in tested):  # else equal names of patients mean nothing
        patients = {case.patient for case in trained if case.patient}
    leaked = [case.id for case in tested if identity(case.image) in images or case.patient in patients]
    if leaked:
        raise DataError(
            f"{len(leaked)} of the {len(tested)} test cases of REAL, or their patients, are among the training images "
            f"of the generator of SAMPLES ({dataset}):\n{listed(leaked)}",
            expected="a generator that saw nothing of the test",
            remedy=f"give REAL as it was when the generator was trained: sfumato prove {dataset} SAMPLES ...",
            code="SCORE-020",
        )
