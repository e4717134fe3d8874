"""The data that a verb is given: the cases of a source, decoded into a dataset, or a dataset that is prepared."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import SPLITS, is_prepared
from sfumato.data.placement import size_words
from sfumato.data.preparation.notes import EMPTY_MASKS, sized_words
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases, refuse_impossible
from sfumato.data.source import DiscoveredDataset
from sfumato.data.units import counted_cases
from sfumato.data.volumes import by_volume, placed_volume
from sfumato.errors import DataError, collected, raise_together
from sfumato.experiment.data_plan import Choice, DataForm, plan_data
from sfumato.experiment.source import find_to_read
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
from sfumato.recipe import Recipe, load_recipe
from sfumato.wording import counted

REHEARSED = (8, 8)
"""Pixels of the images of a preparation of which nothing is kept."""


def prepare_into(
    out: Path, recipe: Recipe, found: DiscoveredDataset, *, source: Path, spool: Path, workers: int | None = None
) -> list[Choice]:
    """Prepare cases as the recipe says, with a bar and notes; the choices that were made."""
    form, choices = plan_data(recipe, found, device="cpu")
    _prepare(found, out, _settings(recipe, form, workers), spool=spool)
    masks = recipe.data.source.masks_folder
    inputs = {"source": source, **({"masks": Path(masks)} if masks else {})}
    write_provenance(out, inputs=inputs, seed=recipe.data.split.seed)
    dataset = Dataset.open(out)
    for note in dataset.notes:
        say(f"note: {note}")
    counts = Counter(case.split for case in dataset.cases)
    parts = ", ".join(f"{counts[name]} {name}" for name in SPLITS)
    say(f"{_counted(dataset)} {size_words(form.size)}: {parts}")
    return choices


def rehearse_cases(
    recipe: Recipe, found: DiscoveredDataset, *, workers: int | None = None
) -> tuple[DataForm, tuple[str, ...]]:
    """Everything that preparing does, into a folder that is thrown away, with images of a few pixels.

    Returns:
        How the cases would be prepared, and the notes.

    Raises:
        DataError: what the preparation would refuse.
    """
    form, _ = plan_data(recipe, found, device="cpu")
    small_form = DataForm(2, REHEARSED, None if form.dimensions == 3 else form.spacing)
    wanted, rehearsed = (_settings(recipe, each, workers) for each in (form, small_form))
    refuse_impossible(wanted)
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        _prepare(found, Path(folder) / "set", rehearsed, spool=Path(folder) / "spool")
        dataset = Dataset.open(Path(folder) / "set")
    if form.dimensions == 3:
        _refuse_volumes(form, found, dataset)
    small, real = sized_words(rehearsed.canvas), sized_words(wanted.canvas)
    about_small = None if dataset.sharpness is None else dataset.sharpness.sentence
    notes = [note.replace(small, real) for note in dataset.notes if note != about_small]
    return form, tuple(note for note in notes if form.dimensions == 2 or not note.startswith(EMPTY_MASKS))


def _refuse_volumes(form: DataForm, found: DiscoveredDataset, planes: Dataset) -> None:
    """What becomes of whole volumes, by their planes.

    Raises:
        DataError: see `sfumato.data.volumes.placed_volume`; all of them.
    """
    problems, first = list[DataError](), 0
    for volume in by_volume(found.cases):
        with collected(problems):
            placed_volume(form.canvas, (len(volume), *planes.placement(first).size), volume[0].image)
        first += len(volume)
    raise_together(problems)


def _counted(dataset: Dataset) -> str:
    """How many cases there are: images, whole volumes, or planes of volumes."""
    if dataset.spec.dimensions == 3:
        return f"{counted(len(dataset), 'volume')} of {counted(len(dataset.planes), 'plane')}"
    return counted_cases(dataset.cases)


def _prepare(found: DiscoveredDataset, out: Path, settings: PreparationSettings, *, spool: Path) -> None:
    with bar("preparing", total=len(found.cases)) as progress:
        for prepared in prepare_cases(found, out, settings, spool=spool):
            progress.update(prepared.done * len(found.cases) / prepared.total, note=prepared.name[:30])


def _settings(recipe: Recipe, form: DataForm, workers: int | None) -> PreparationSettings:
    data, split = recipe.data, recipe.data.split
    return PreparationSettings(
        size=form.size,
        dimensions=form.dimensions,
        neighbours=data.neighbours,
        keep_aspect=data.keep_aspect,
        crop=data.crop,
        spacing=form.spacing,
        grey=data.grey,
        intensity=data.intensity,
        window=data.window,
        modality=None if data.modality == "auto" else data.modality,
        keep_empty=data.keep_empty,
        fractions=(split.train, split.validation, split.test),
        seed=split.seed,
        folds=split.folds,
        fold=split.fold,
        keep_split=data.source.keep_split,
        workers=workers,
    )


@contextmanager
def opened_dataset(source: Path, *, size: tuple[int, int] | None = None) -> Iterator[Dataset]:
    """The data set of a folder or file.

    Args:
        source: a prepared data set, or any source that `prepare` reads.
        size: height and width to prepare a source at; by default the median of its images, within reason.
    """
    if is_prepared(source):
        yield Dataset.open(source)
        return
    recipe = load_recipe("segment", settings=_settings_of_size(size))
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        out = Path(folder) / "dataset"
        out.mkdir()
        prepare_into(out, recipe, find_to_read(source, recipe), source=source, spool=Path(folder) / "spool")
        yield Dataset.open(out)


def _settings_of_size(size: tuple[int, int] | None) -> Sequence[str]:
    """Images of one size, and planes of volumes."""
    return ["data.dimensions=2", "preset=fast" if size is None else f"data.size={json.dumps(list(size))}"]
