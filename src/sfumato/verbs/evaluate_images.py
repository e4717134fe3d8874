"""How generated images differ from real ones, and whether they are copies of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.data.channels import read_case
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import is_prepared
from sfumato.errors import UsageError
from sfumato.evaluation.images.examine import Examination, Question, RealData, examine, summary
from sfumato.evaluation.images.read import RealPart, sample_cases
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, parse_features
from sfumato.evaluation.images.statistics import read_reference
from sfumato.evaluation.images.write import (
    as_json,
    copies_summary,
    write_comparison_sheets,
    write_image_scores,
    write_metrics,
    write_summary,
)
from sfumato.experiment.dataset import opened_dataset
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.pictures import spared_picture
from sfumato.local import Names
from sfumato.progress import say
from sfumato.provenance import called, write_provenance
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.verbs.opened import path_or_none

FEATURES = ("own", "radiomics", "pixels")
"""Spaces in which images are compared where nothing is said."""


@dataclass(frozen=True)
class ImageComparison:
    """A comparison that was written.

    Attributes:
        folder: metrics.csv, scores.csv (a row for each generated image), sheets/, copies.png, summary.json.
        answer: what was found: each distance with its interval beside that of real images among themselves, copies.
        summary: what summary.json holds.
    """

    folder: Path
    answer: Examination
    summary: Mapping[str, Any]


def evaluate_images(
    samples: Path | str,
    real: Path | str | None = None,
    *,
    out: Path | str,
    features: Sequence[str] = FEATURES,
    real_split: RealPart = "auto",
    holdout: Path | str | None = None,
    reference: Path | str | None = None,
    copies: bool = True,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> ImageComparison:
    """Distances of generated images to real ones beside those of real images among themselves, diversity, copies.

    Args:
        samples: the generated images: a folder of `sfumato generate`, or any source of images; classes by folder.
        real: the real images: the dataset that the model was trained on, with its split, or any source.
        out: the folder to write.
        features: spaces to compare in: own, radiomics, pixels, inception:FILE, dinov2:FOLDER.
        real_split: which real images; held-out: validation and test; auto: those, or all where they are few.
        holdout: A dataset of further real images that the model has not seen, to compare with instead.
        reference: statistics of `sfumato reference`, EDM or pytorch-fid (.npz), beside the real images or instead.
        copies: look for each image's nearest training image, and say whether it is a copy.
        seed: of the images that are drawn, and of the classifier behind the space own.
        device: auto, cpu, cuda or cuda:N, mps.
        overwrite: replace a folder that is not empty.

    Raises:
        DataError: images cannot be read, or the samples and the real images are of other forms.
        UsageError: there is nothing to compare with, or `out` is not empty or lies in an input.
        ModelError: weights of a feature space cannot be used.
    """
    choose_device(device)
    samples, real, out = Path(samples), path_or_none(real), Path(out)
    holdout, reference = path_or_none(holdout), path_or_none(reference)
    named = {"samples": samples, "real": real, "holdout": holdout, "reference": reference}
    inputs = {role: path for role, path in named.items() if path is not None}
    _check(real, holdout, reference, real_split)
    claim = claim_output(out, overwrite=overwrite, inputs=list(inputs.values()))
    wishes = parse_features(",".join(features))
    question = Question(
        samples=samples, wishes=wishes, part=real_split, copies=copies, seed=seed, device=set_up(), tell=say
    )
    with _real(real, holdout, samples) as data:
        answer = examine(question, data, None if reference is None else read_reference(reference))
        with claim.folder() as folder:
            told = _write(folder, answer, question)
            write_provenance(folder, inputs=inputs | _weights(question.wishes), seed=seed)
    return ImageComparison(out, answer, told)


def _check(real: Path | None, holdout: Path | None, reference: Path | None, part: RealPart) -> None:
    if real is None and reference is None:
        raise UsageError(
            "there is nothing to compare with",
            expected="REAL, a dataset or source of real images, or --reference",
            remedy="sfumato evaluate images SAMPLES REAL --out OUT",
        )
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
    with opened_dataset(real, size=size) as dataset:
        other = nullcontext(None) if holdout is None else opened_dataset(holdout, size=dataset.spec.common_size)
        with other as further:
            yield RealData(dataset, called(real) or "REAL", further, (called(holdout) or "HOLDOUT") if holdout else "")


def _size(samples: Path) -> tuple[int, int]:
    height, width, _ = read_case(sample_cases(samples).cases[0]).shape
    return height, width


def _weights(wishes: Sequence[FeatureSpaceSpec]) -> dict[str, Path]:
    """Files of weights that are on this machine."""
    return {wish.kind: Path(wish.weights) for wish in wishes if wish.weights and Path(wish.weights).exists()}


def _write(folder: Path, answer: Examination, question: Question) -> dict[str, Any]:
    """All files; what `summary.json` says."""
    found = answer.copies.found
    write_metrics(folder / "metrics.csv", answer.measures)
    write_image_scores(
        folder / "scores.csv",
        answer.generated.cases,
        None if found is None else found.verdicts,
        source=question.samples,
    )
    if answer.real is not None:
        with spared_picture("a sheet of real and generated images"):
            write_comparison_sheets(folder / "sheets", answer.real, answer.generated)
    if answer.copies.pairs is not None:
        with spared_picture("the closest pairs"):
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
