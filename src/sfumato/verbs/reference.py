"""Statistics of real images in one file, for comparisons without the images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.errors import UsageError
from sfumato.evaluation.images.read import RealPart, real_images
from sfumato.evaluation.images.spaces import make_space, parse_features
from sfumato.evaluation.images.statistics import write_reference
from sfumato.experiment.dataset import opened_dataset
from sfumato.experiment.output_folder import output_file
from sfumato.provenance import called
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device


@dataclass(frozen=True)
class ReferenceStatistics:
    """A file of statistics that was written.

    Attributes:
        file: holds `mu` and `sigma`, as EDM and pytorch-fid read them, and what they are of.
        summary: how many images of which classes, and the feature space.
    """

    file: Path
    summary: Mapping[str, Any]


def reference(
    dataset: Path | str,
    *,
    out: Path | str,
    features: str = "radiomics",
    real_split: RealPart = "all",
    device: str = "auto",
    overwrite: bool = False,
) -> ReferenceStatistics:
    """Mean and covariance of the features of real images.

    Args:
        dataset: a dataset of real images, or any source.
        out: the file to write, ending in .npz.
        features: one space: radiomics, pixels, inception:FILE or dinov2:FOLDER.
        real_split: which of its images; held-out: validation and test.
        device: auto, cpu, cuda or cuda:N, mps.
        overwrite: replace a file that is there.

    Raises:
        UsageError: several spaces, or the space `own`; another ending; the file is there; a prepared dataset has images
            of several sizes.
    """
    choose_device(device)
    wishes = parse_features(features)
    if len(wishes) > 1 or wishes[0].kind == "own":
        raise UsageError(
            f"--features {features}",
            expected="one of radiomics, pixels, inception:FILE, dinov2:FOLDER",
            remedy="the space 'own' has a classifier that nobody else has: name another",
        )
    dataset, out = Path(dataset), Path(out)
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}", expected="a name that ends in .npz")
    with output_file(out, overwrite=overwrite, inputs=[dataset]) as draft, opened_dataset(dataset) as opened:
        _ = opened.spec.common_size  # features are of images of one size
        space = make_space(wishes[0], opened, device=set_up(), seed=0)
        images = real_images(opened, real_split, name=called(dataset) or "the source")
        about = write_reference(draft, space, images, opened.spec)
    return ReferenceStatistics(out, about)
