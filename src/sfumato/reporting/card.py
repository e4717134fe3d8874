"""The model card of a run: what the model is for, what it learned from, how well it does, and where it ends.

    RUN/model_card.md   plain Markdown, to be passed on with the weights

It tells of the data in numbers: no path, no id of a case, no name of a patient. Names stand in it as plain text,
whatever they spell. What stands below the heading `## Licence` belongs to the person: it is kept when the card is
written again.

Source of the form: Mitchell et al., Model Cards for Model Reporting, FAT* 2019 (arXiv 1810.03993).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sfumato.atomic import write_atomic
from sfumato.data.manifest import SPLITS
from sfumato.errors import DataError, UsageError
from sfumato.escape import for_markdown
from sfumato.files import read_text
from sfumato.local import found
from sfumato.provenance import digest, read_provenance
from sfumato.recipe import NATIVE, read_recipe
from sfumato.reporting.figures import NOT_A_METRIC
from sfumato.reporting.meaning import heading, meaning
from sfumato.reporting.reading import read_optional_json, shown_cell
from sfumato.tables import Row, read_rows
from sfumato.training.log import read_log
from sfumato.training.marks import marked
from sfumato.wording import counted

CARD_FILE = "model_card.md"
LICENCE = "## Licence"
TO_FILL = "To be filled in by whoever passes the model on: the licence of the weights, and what the data allow."

_FEW = 50
"""Training images of a class below which the card says that there are few."""

_WORDS = {
    "segment": "draws masks of images, several for each image where it is asked to",
    "generate": "makes images; none of them is taken of a patient",
}
_PAIRS = {"joint": "makes images with their masks", "mask": "makes masks", "image_from_mask": "makes images from masks"}
USES = {
    "segment": "Research on segmentation: comparing methods, preparing outlines that a person checks.",
    "generate": "Research on synthetic images: enlarging small classes, teaching, testing programs.",
}


class Number(NamedTuple):
    """A number of the last validation."""

    name: str
    value: str
    meaning: str


def write_card(run: Path) -> Path:
    """Write the card of a run; the licence that a person filled in stays."""
    path = run / CARD_FILE
    write_atomic(path, model_card(run, licence=_licence(path)))
    return path


def read_card(run: Path) -> str:
    """The card of a run: the file, or what would be written. Empty for a run without a readable recipe."""
    path = run / CARD_FILE
    return read_text(path) if path.is_file() else model_card(run)


def model_card(run: Path, *, licence: str = TO_FILL) -> str:
    """The card as Markdown; empty for a run without a readable recipe."""
    recipe = _recipe(run)
    if not recipe:
        return ""
    records = read_log(run / "log.jsonl")
    data, rows = _data(run)
    loader = PackageLoader("sfumato.reporting")
    environment = Environment(
        loader=loader,
        finalize=for_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md.jinja2").render(
        name=run.name,
        does=_PAIRS.get(recipe["data"].get("pairs", "none"), _WORDS[recipe["task"]]),
        use=USES[recipe["task"]],
        sha256=_weights(run),
        data=tuple(_about_data(data, rows)),
        training=tuple(_about_training(run, recipe, records)),
        numbers=_numbers(records),
        validated=_validated(recipe, rows),
        limits=tuple(limits_of_run(run)),
        licence=Markup(licence),
    )


def limits_of_run(run: Path) -> Iterator[str]:
    """What a model cannot do, as far as its data tell."""
    recipe = _recipe(run)
    if not recipe:
        return
    data, rows = _data(run)
    size, patch = recipe["data"]["size"], recipe["data"].get("patch")
    if size == NATIVE:
        what, unit = ("volumes", "voxels") if len(patch) == 3 else ("images", "pixels")
        window = " x ".join(map(str, patch))
        yield f"It sees {what} in windows of {window} {unit}; what lies outside of one it does not see."
    else:
        yield f"It sees images at {size[0]} x {size[1]} pixels; what is smaller than a pixel there is lost."
    train = [row for row in rows if row.get("split") == "train"]
    yield from _few(train)
    if rows and not any(row.get("patient") for row in rows):
        yield "Whose the images are is not known: one patient may be in training and in testing."
    if rows and not any(row.get("split") == "test" for row in rows):
        yield "No test cases were held out: the validation numbers chose the weights, and flatter them."
    if (data.get("modality") or "unknown") == "unknown":
        yield "What kind of scanner or camera made the images is not known."
    yield "Images of other devices, hospitals or people than those in the training data were not tried."
    if recipe["task"] == "generate":
        yield "Whether it copies training images is not checked by training: sfumato evaluate images says it."


def _few(train: Sequence[Row]) -> Iterator[str]:
    """The classes with few training images; without classes, the whole."""
    counts = Counter(row.get("label") or "" for row in train)
    for label, count in sorted(counts.items()):
        if count < _FEW:
            yield f"Only {counted(count, 'training image')}{f' of {label}' if label else ''}."


def _recipe(run: Path) -> dict[str, Any]:
    """The resolved recipe as plain data; empty where there is none, or one of another time."""
    file = run / "recipe.yaml"
    try:
        recipe = read_recipe(file)
        known = recipe["task"] in _WORDS and _is_sized(recipe["data"])
    except (UsageError, TypeError, KeyError):
        return {}
    return recipe if known else {}


def _is_sized(data: Mapping[str, Any]) -> bool:
    """Whether images have a size, or their windows have."""
    return len(data["patch"]) in (2, 3) if data["size"] == NATIVE else len(data["size"]) == 2


class _Data(NamedTuple):
    spec: Mapping[str, Any]
    rows: Sequence[Row]


def _data(run: Path) -> _Data:
    """What is known of the run's data; nothing where they are no longer there."""
    name = (read_optional_json(run / "run.json") or {}).get("dataset", "dataset")
    folder = found(name, run) or run / name
    try:
        return _Data(
            (read_optional_json(folder / "dataset.json") or {}).get("spec", {}), read_rows(folder / "manifest.csv")
        )
    except DataError:
        return _Data({}, [])


def _about_data(spec: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "The dataset is no longer where it was: its numbers are not known here."
        return
    yield counted(len(rows), "image") + _whose(rows)
    splits = Counter(row.get("split", "") for row in rows)
    yield "split: " + ", ".join(f"{splits[name]} {name}" for name in SPLITS)
    yield f"modality: {spec.get('modality') or 'unknown'}; channels: {spec.get('channels', 'unknown')}"
    if intensity := spec.get("intensity"):
        yield f"intensities: {intensity['text']}"
    classes = Counter(row["label"] for row in rows if row.get("label") and row.get("split") == "train")
    if classes:
        yield "classes, with training images: " + ", ".join(f"{name} {n}" for name, n in sorted(classes.items()))
    if masks := spec.get("mask_classes"):
        yield f"classes of the masks: {', '.join(masks)}; outlines of each image: {spec.get('readers')}"
    if made := sum(row.get("origin") == "synthetic" for row in rows):
        yield f"synthetic images among them: {made}"


def _whose(rows: Sequence[Row]) -> str:
    """Whose the images are; a volume that is its own patient is one of a patient whom nobody knows."""
    own = {row["volume"] for row in rows if row.get("volume") and row.get("patient") == row["volume"]}
    patients = {row["patient"] for row in rows if row.get("patient")} - own
    cases = counted(len(own), "case")
    if not patients:
        return (f" of {cases}" if own else "") + ", of how many patients is not known"
    return f" of {counted(len(patients), 'patient')}" + (f", and of {cases} of patients not known" if own else "")


def _about_training(run: Path, recipe: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"process: {recipe['process']['kind']}; network: {recipe['network']['kind']}; seed: {recipe['train']['seed']}"
    if train := [record for record in records if record.get("kind") == "train"]:
        last = train[-1]
        steps, images = counted(last["step"], "step"), counted(last["images"], "image")
        yield f"{steps}, {images} seen, {last['seconds'] / 60:.1f} minutes"
    if recipe["data"].get("labels") == "none":
        yield "it was told no class of any image"
    pointer, metric = run / "checkpoints" / "best", recipe.get("validate", {}).get("metric", "the validation")
    if pointer.is_file():
        step = read_text(pointer).strip().removeprefix("step-")
        yield f"the weights are those after step {step.lstrip('0') or 0}, the best by {metric}"
    if starts := read_optional_json(run / "hardware.json"):
        last_start = starts[-1]
        processes = counted(last_start.get("processes", 1), "process", "processes")
        yield f"on {last_start.get('name', 'unknown hardware')}, {processes}"
    record = read_provenance(run)
    versions = record.get("versions", {})
    known = ", ".join(f"{name} {versions[name]}" for name in ("sfumato", "torch") if name in versions)
    if known:
        yield f"with {known}, started {str(record.get('time', 'at an unknown time'))[:10]}"


def _numbers(records: Sequence[Mapping[str, Any]]) -> tuple[Number, ...]:
    """Those of the best validation; the score that chose it repeats one of them."""
    validations = [record for record in records if record.get("kind") == "validate"]
    scored = [record for record in validations if record.get("score", 0.0) is not None]  # None: it was no number
    best = max(scored, key=lambda record: float(record.get("score", 0.0)), default={})
    names = [name for name in best if name not in NOT_A_METRIC]
    return tuple(Number(heading(name), shown_cell(best[name]), meaning(name)) for name in names)


def _validated(recipe: Mapping[str, Any], rows: Sequence[Row]) -> int:
    """How many cases a validation looks at."""
    held_out = sum(row.get("split") == "validation" for row in rows)
    return min(held_out, int(recipe.get("validate", {}).get("cases", held_out)))


def _weights(run: Path) -> str:
    """sha256 of the averaged weights of the best checkpoint, else of the last one."""
    for name in ("best", "last"):
        checkpoint = marked(run / "checkpoints", name)
        if checkpoint is not None and (sha256 := digest(checkpoint / "ema.safetensors")):
            return sha256
    return "not trained yet"


def _licence(card: Path) -> str:
    """What the person wrote below the last heading."""
    text = read_text(card) if card.is_file() else ""
    _, found, licence = text.partition(f"\n{LICENCE}\n")
    return licence.strip() if found else TO_FILL
