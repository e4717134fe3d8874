"""`sfumato interpolate`: the images between two seeds, or between two images."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Several
from sfumato.commands.flags.sampling import AS_TRAINED, SamplingFlags
from sfumato.experiment.sample_requests import parse_seeds
from sfumato.experiment.sampling import IMAGES_AT_ONCE
from sfumato.progress import say
from sfumato.verbs.interpolate import interpolate as _interpolate
from sfumato.wording import counted


def interpolate(
    model: Path,
    /,
    *,
    out: Path,
    seeds: str | None = None,
    images: Annotated[tuple[Path, Path] | None, Parameter(negative="")] = None,
    noise: float | None = None,
    frames: Several = 9,
    class_: str | None = None,
    sampling: SamplingFlags = AS_TRAINED,
    batch: Count = IMAGES_AT_ONCE,
    device: Device = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make the images between two seeds or two images: frames, a strip and an animation.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        out: The folder to write.
        seeds: Two seeds like 3,7; with images one seed, of the noise.
        images: Two images to go between.
        noise: How much the images are noised: a time from 0, nothing, to 1, where they are gone; by default 0.5.
            Of the steps from noise, those below it are taken.
        frames: How many images, with both ends.
        class_: The class of all, or two like a,b: then the second half is of the second.
        sampling: How each is drawn.
        batch: Images made at once; bounds the memory.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    done = _interpolate(
        model,
        out=out,
        seeds=None if seeds is None else parse_seeds(seeds),
        images=images,
        noise=noise,
        frames=frames,
        label=class_,
        sampling=sampling,
        batch=batch,
        device=device,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    if dry_run:
        calls = counted(done.network_calls, "network call")
        say(f"would make {counted(frames, 'image')} with {calls} each into {out}")
    else:
        say(f"{frames} images in {out}")
    return {"interpolation": str(out), "images": done.images, "network_calls": done.network_calls}
