"""Tiny pipelines of diffusers with random weights, in every form in which people have them."""

import json
import shutil
from pathlib import Path

import safetensors.torch
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

ODD = {
    "attention_head_dim": None, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6,
}  # fmt: skip
"""Flags of the google/ddpm-* configurations that are not today's defaults."""

SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.0002, "beta_end": 0.015, "variance_type": "fixed_large"}
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def make_unet(**changes) -> UNet2DModel:
    """A small network with all its branches awake."""
    torch.manual_seed(0)
    unet = UNet2DModel(
        **{
            "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 16),
            "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), **ODD, **changes,
        }
    )  # fmt: skip
    return unet.eval()


def save_folder(
    folder: Path, unet: UNet2DModel, *, beside: bool = False, pickled: bool = False, old: bool = False, **scheduler
) -> Path:
    """A pipeline as diffusers writes it, or in the layout, file form and names of earlier years."""
    DDPMPipeline(unet, DDPMScheduler(**{**SCHEDULER, **scheduler})).save_pretrained(folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    if old:
        tensors = {renamed(name): tensor for name, tensor in tensors.items()}
    weights.unlink()
    if pickled:
        torch.save(tensors, weights.with_suffix(".bin"))
    else:
        safetensors.torch.save_file(tensors, weights)
    if beside:
        for part in ("unet", "scheduler"):
            for file in (folder / part).iterdir():
                shutil.move(file, folder / file.name)
            (folder / part).rmdir()
    return folder


def renamed(name: str) -> str:
    """The name of a tensor before diffusers 0.15."""
    for now, then in OLD.items():
        name = name.replace(f"attentions.0.{now}.", f"attentions.0.{then}.")
    return name


def edit(file: Path, **changes) -> None:
    """Change settings of a configuration; None takes one out."""
    settings = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
