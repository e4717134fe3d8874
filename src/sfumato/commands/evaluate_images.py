"""`sfumato evaluate images`: how generated images differ from real ones, and whether they are copies of them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Index
from sfumato.commands.output.layout import show_table
from sfumato.data.channels import read_case
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import is_prepared
from sfumato.errors import UsageError
from sfumato.evaluation.images.draws import MATCHED, POOLED
from sfumato.evaluation.images.examine import Answer, Question, RealData, examine, summary
from sfumato.evaluation.images.panel import Measure
from sfumato.evaluation.images.read import Part, sample_cases
from sfumato.evaluation.images.spaces import Wish, parse_features
from sfumato.evaluation.images.statistics import read_reference
from sfumato.evaluation.images.write import (
    as_json,
    copies_summary,
    write_metrics,
    write_scores,
    write_sheets,
    write_summary,
)
from sfumato.experiment.dataset import opened
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.pictures import spared
from sfumato.local import Names
from sfumato.progress import say
from sfumato.provenance import called, write_provenance
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import z_text
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.wording import counted

IN_SHORT = ("kid", "kid_of_training", "frechet", "frechet_reference", "recall", "coverage", "ms_ssim", "duplicates")
"""Metrics that the terminal shows."""


def images(
    samples: Path,
    real: Path | None = None,
    /,
    *,
    out: Path,
    features: str = "own,radiomics,pixels",
    real_split: Part = "auto",
    holdout: Path | None = None,
    reference: Path | None = None,
    copies: Annotated[bool, Parameter(negative="--no-copies")] = True,
    seed: Index = 0,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Distances of generated images to real ones beside those of real images among themselves, diversity, copies.

    Args:
        samples: The generated images: a folder of `sfumato generate`, or any source of images; classes by folder.
        real: The real images: the dataset that the model was trained on, with its split, or any source.
        out: The folder to write.
        features: Spaces to compare in: own, radiomics, pixels, inception:FILE, dinov2:FOLDER.
        real_split: Which real images; held-out: validation and test; auto: those, or all where they are few.
        holdout: A dataset of further real images that the model has not seen, to compare with instead.
        reference: Statistics of `sfumato reference`, EDM or pytorch-fid (.npz), beside the real images or instead.
        copies: Look for each image's nearest training image, and say whether it is a copy.
        seed: Of the images that are drawn, and of the classifier behind the space own.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
    """
    choose_device(device)
    named = {"samples": samples, "real": real, "holdout": holdout, "reference": reference}
    inputs = {role: path for role, path in named.items() if path is not None}
    _check(real, holdout, reference, real_split)
    claim = claim_output(out, overwrite=overwrite, inputs=list(inputs.values()))
    question = Question(
        samples=samples, wishes=parse_features(features), part=real_split, copies=copies, seed=seed, device=set_up(),
        tell=say,
    )  # fmt: skip
    with _real(real, holdout, samples) as data:
        answer = examine(question, data, None if reference is None else read_reference(reference))
        with claim.folder() as folder:
            told = _write(folder, answer, question)
            write_provenance(folder, inputs=inputs | _weights(question.wishes), seed=seed)
    _show(answer)
    say(f"the comparison is in {out}")
    return {"evaluation": str(out), **told}


def _check(real: Path | None, holdout: Path | None, reference: Path | None, part: Part) -> None:
    if real is None and reference is None:
        raise UsageError(
            "there is nothing to compare with", expected="REAL, a dataset or source of real images, or --reference",
            remedy="sfumato evaluate images SAMPLES REAL --out OUT",
        )  # fmt: skip
    if real is None and (holdout is not None or part != "auto"):
        raise UsageError("--holdout and --real-split belong to REAL", expected="a dataset of real images")
    if holdout is not None and part != "auto":
        raise UsageError("--holdout and --real-split both say what to compare with", expected="one of both")


@contextmanager
def _real(real: Path | None, holdout: Path | None, samples: Path) -> Iterator[RealData | None]:
    """The data sets; a source that is not prepared is brought to the size of the samples."""
    if real is None:
        yield None
        return
    size = None if is_prepared(real) else _size(samples)
    with opened(real, size=size) as pack:
        other = nullcontext(None) if holdout is None else opened(holdout, size=pack.spec.size)
        with other as further:
            yield RealData(pack, called(real) or "REAL", further, (called(holdout) or "HOLDOUT") if holdout else "")


def _size(samples: Path) -> tuple[int, int]:
    height, width, _ = read_case(sample_cases(samples).cases[0]).shape
    return height, width


def _weights(wishes: Sequence[Wish]) -> dict[str, Path]:
    """Files of weights that are on this machine."""
    return {wish.kind: Path(wish.weights) for wish in wishes if wish.weights and Path(wish.weights).exists()}


def _write(folder: Path, answer: Answer, question: Question) -> dict[str, Any]:
    """All files; what `summary.json` says."""
    found = answer.copies.found
    write_metrics(folder / "metrics.csv", answer.measures)
    write_scores(
        folder / "scores.csv", answer.generated.cases, None if found is None else found.verdicts,
        source=question.samples,
    )  # fmt: skip
    if answer.real is not None:
        with spared("a sheet of real and generated images"):
            write_sheets(folder / "sheets", answer.real, answer.generated)
    if answer.copies.pairs is not None:
        with spared("the closest pairs"):
            write_image(folder / "copies.png", answer.copies.pairs())
    names = Names(folder)
    told: dict[str, Any] = {
        "kind": "images",
        "samples": names(question.samples.resolve()),
        **summary(answer),
        "copies": None if found is None else copies_summary(found),
        "metrics": as_json(answer.measures),
    }
    names.keep()
    write_summary(folder / "summary.json", told)
    return told


def _show(answer: Answer) -> None:
    """The numbers about the whole set, and all sentences."""
    groups = {measure.group for measure in answer.measures}
    whole = MATCHED if MATCHED in groups else POOLED
    rows = [measure for measure in answer.measures if measure.group in (whole, POOLED) and measure.metric in IN_SHORT]
    shown = [row for row in rows if row.group == whole or row.metric == "frechet_reference"]
    classes = ", real ones in the class shares of the samples" if whole == MATCHED else ""
    title = f"Generated beside real images, {counted(shown[0].images, 'image')} on each side{classes}"
    head = ("space", "number", "value [95 %]", "real to real", "z")
    show_table(head, [(row.space, heading(row.metric), *cells(row)) for row in shown], title=title, keys=2)
    for note in answer.notes:
        say(f"note: {note}")
    for sentence in answer.reading():
        say(sentence)


def cells(row: Measure) -> tuple[str, str, str]:
    """Value with interval, floor, z-score as text."""
    value = f"{row.value:.4g} [{row.low:.4g}, {row.high:.4g}]"
    if math.isnan(row.floor):
        return value, "", ""
    return value, f"{row.floor:.4g} ± {row.floor_sd:.2g}", z_text(row.z)
