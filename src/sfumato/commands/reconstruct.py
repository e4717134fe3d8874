"""`sfumato reconstruct`: images noised to a level and denoised again: what a model keeps, and what it replaces."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index
from sfumato.commands.flags.sampling import AS_TRAINED, SamplingFlags
from sfumato.experiment.sampling import IMAGES_AT_ONCE
from sfumato.progress import say
from sfumato.verbs.reconstruct import reconstruct as _reconstruct
from sfumato.wording import counted


def reconstruct(
    model: Path,
    source: Path,
    /,
    *,
    out: Path,
    noise: float = 0.5,
    sampling: SamplingFlags = AS_TRAINED,
    count: Count = 16,
    seed: Index = 0,
    batch: Count = IMAGES_AT_ONCE,
    device: Device = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Noise images to a level and denoise them: writes input, corrupted, reconstructed, difference, and distances.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        source: An image, a folder of images, or a dataset; their classes are told to the model if it knows them.
        out: The folder to write.
        noise: How much: a time from 0, nothing, to 1, where the image is gone; of the steps from noise, those below it
            are taken.
        sampling: How each is drawn.
        count: At most so many images, spread over the source.
        seed: With the case's name it decides the noise.
        batch: Images drawn at once; bounds the memory.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    done = _reconstruct(
        model,
        source,
        out=out,
        noise=noise,
        sampling=sampling,
        count=count,
        seed=seed,
        batch=batch,
        device=device,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    images = counted(done.images, "image")
    if dry_run:
        say(f"would reconstruct {images} with {counted(done.network_calls, 'network call')} each into {out}")
    else:
        told = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in done.distances.items())
        say(f"{images} in {out}: {told} (mean; 1 is from black to white)")
    return {
        "reconstructions": str(out),
        "images": done.images,
        "network_calls": done.network_calls,
        **done.distances,
    }
