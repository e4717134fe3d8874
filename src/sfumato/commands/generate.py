"""`sfumato generate`: images of the asked classes, a PNG or TIFF each, with a manifest and preview grids."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count
from sfumato.commands.flags.sampling import AS_TRAINED, SamplingFlags
from sfumato.commands.flags.words import parse_shard
from sfumato.evaluation.balance import BalanceTarget
from sfumato.experiment.sample_requests import parse_seeds
from sfumato.experiment.sampling import IMAGES_AT_ONCE
from sfumato.outputs.samples import Enlarging
from sfumato.progress import say
from sfumato.verbs.generate import generate as _generate


def generate(
    model: Path,
    /,
    *,
    out: Path,
    count: Count | None = None,
    class_: str | None = None,
    per_class: str | None = None,
    balance: Path | None = None,
    to: BalanceTarget = "max",
    reject_copies: Path | None = None,
    seeds: str | None = None,
    sampling: SamplingFlags = AS_TRAINED,
    size: Count | None = None,
    upsample: Enlarging = "bicubic",
    subdirs: bool = False,
    batch: Count = IMAGES_AT_ONCE,
    device: Device = "auto",
    shard: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make images. The folder is itself a dataset: `prepare` and `train` read it as it is.

    The same command again continues what was stopped. Under torchrun each process makes a share of the images.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        out: The folder to write.
        count: How many images, as many as seeds or 64 by default; the classes in turn.
        class_: Only this class; 'unconditional' for none.
        per_class: How many of each class, like benign=100,malignant=300.
        balance: A prepared dataset: make what its classes lack in the training split, reject copies of its images, and
            write both together: the real images of all splits, the synthetic ones for training.
        to: How many --balance gives each class: max, as many as the largest class has, or a number.
        reject_copies: A prepared dataset, the model's own: an image that copies one of its training images is drawn
            again from another seed, at most 10 times.
        seeds: One seed for each image, like 0-63 or 3,7,20-29; as many as images. By default 0, 1, 2, ...
        sampling: How each image is drawn.
        size: Enlarge images to this height, keeping their shape.
        upsample: How to enlarge.
        subdirs: Put the images of a class into folders of 1,000, for sets of many thousands.
        batch: Images made at once; bounds the memory.
        device: Where to work.
        shard: Only this share of the images, like 0/4; who comes last completes the folder. Any machine that sees it
            can do any share, again and again.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    generated = _generate(
        model,
        out=out,
        count=count,
        label=class_,
        per_class=per_class,
        balance=balance,
        to=to,
        reject_copies=reject_copies,
        seeds=None if seeds is None else parse_seeds(seeds),
        sampling=sampling,
        size=size,
        upsample=upsample,
        subdirs=subdirs,
        batch=batch,
        device=device,
        shard=parse_shard(shard),
        overwrite=overwrite,
        dry_run=dry_run,
    )
    for sentence in generated.summary.get("reading", ()):
        say(sentence)
    return {
        "samples": str(out),
        "images": generated.images,
        "network_calls": generated.network_calls,
        **generated.summary,
    }
