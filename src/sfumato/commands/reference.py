"""`sfumato reference`: statistics of real images in one file, for comparisons without the images."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.errors import UsageError
from sfumato.evaluation.images.read import RealPart, real_images
from sfumato.evaluation.images.spaces import make_space, parse_features
from sfumato.evaluation.images.statistics import write_reference
from sfumato.experiment.dataset import opened_dataset
from sfumato.experiment.output_folder import output_file
from sfumato.progress import say
from sfumato.provenance import called
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.wording import counted


def reference(
    dataset: Path,
    /,
    *,
    out: Path,
    features: str = "radiomics",
    real_split: RealPart = "all",
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Mean and covariance of the features of real images: `mu` and `sigma`, as EDM and pytorch-fid read them.

    Args:
        dataset: A dataset of real images, or any source.
        out: The file to write, ending in .npz.
        features: One space: radiomics, pixels, inception:FILE or dinov2:FOLDER.
        real_split: Which of its images; held-out: validation and test.
        device: Where to work.
        overwrite: Replace a file that is there.
    """
    choose_device(device)
    wishes = parse_features(features)
    if len(wishes) > 1 or wishes[0].kind == "own":
        raise UsageError(
            f"--features {features}",
            expected="one of radiomics, pixels, inception:FILE, dinov2:FOLDER",
            remedy="the space 'own' has a classifier that nobody else has: name another",
        )
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}", expected="a name that ends in .npz")
    with output_file(out, overwrite=overwrite, inputs=[dataset]) as draft, opened_dataset(dataset) as pack:
        space = make_space(wishes[0], pack, device=set_up(), seed=0)
        about = write_reference(
            draft, space, real_images(pack, real_split, name=called(dataset) or "the source"), pack.spec
        )
    say(f"statistics of {counted(about['images'], 'image')} in the space {space.name}: {out}")
    return {"reference": str(out), **about}
