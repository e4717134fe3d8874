"""Write a pipeline of diffusers: the folder that `DiffusionPipeline.from_pretrained` opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.networks.foreign.diffusers_unet import DiffusersUNet
from sfumato.networks.foreign.package import imported


def save_pipeline(folder: Path, network: DiffusersUNet, scheduler: Mapping[str, Any], *, size: tuple[int, int]) -> None:
    """A `DDPMPipeline` of a network, with safetensors weights.

    Args:
        folder: an empty folder.
        network: its `UNet2DModel` is written as it is.
        scheduler: settings of the `DDPMScheduler`.
        size: height and width of the images that the pipeline makes.
    """
    diffusers = imported("diffusers", extra="diffusers")
    height, width = size
    network.network.register_to_config(sample_size=height if height == width else [height, width])
    pipeline = diffusers.DDPMPipeline(unet=network.network, scheduler=diffusers.DDPMScheduler(**scheduler))
    pipeline.save_pretrained(folder)
