"""`sfumato reference`: statistics of real images in one file, for comparisons without the images."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.evaluation.images.read import RealPart
from sfumato.progress import say
from sfumato.verbs.reference import reference as _reference
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
    about = _reference(
        dataset, out=out, features=features, real_split=real_split, device=device, overwrite=overwrite
    ).summary
    say(f"statistics of {counted(about['images'], 'image')} in the space {about['space']}: {out}")
    return {"reference": str(out), **about}
