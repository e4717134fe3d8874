"""DINOv2 (Oquab et al. 2023, Apache-2.0) as a space of features, from a folder of transformers.

Stein et al. (NeurIPS 2023) find that its features agree with people on which images look real, and those of Inception
less so. An image is given as the network was trained: colour (grey repeated), 224 x 224 pixels by bicubic interpolation
with smoothing, less the mean of ImageNet, divided by its deviation. The features are those of the class token.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sfumato.errors import ModelError
from sfumato.networks.foreign.inception import in_colour, refuse_broken
from sfumato.networks.foreign.package import imported
from sfumato.shortage import raise_shortage
from sfumato.typing import Data

_SIDE = 224

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, from 0 to 1."""

_WEIGHTS = "model.safetensors"


class Dinov2(NamedTuple):
    """The network with its weights.

    Attributes:
        network: `Dinov2Model` in evaluation mode.
        file: its weights.
    """

    network: Any
    file: Path
    preprocessing: str = "grey repeated, 224 x 224 bicubic with smoothing, ImageNet's mean and deviation; class token"

    @torch.inference_mode()
    def features(self, images: Data) -> Float[Tensor, "n d"]:
        """The class token of images (n, 1 or 3, h, w) in [-1, 1]."""
        shown = (in_colour(images) + 1) / 2
        fitted = functional.interpolate(shown, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False)
        mean, deviation = (fitted.new_tensor(numbers)[:, None, None] for numbers in (_MEAN, _DEVIATION))
        token: Tensor = self.network(((fitted.clamp(0, 1)) - mean) / deviation).last_hidden_state[:, 0]
        return token


def _learn_of_devices() -> None:
    """Have torch look up which functions follow `with torch.device(...)` before transformers replaces one of them.

    torch 2.13 looks once, at the first such block. transformers 5.24 puts another `torch.linspace` in place while it
    loads a model; where its own block is the first, the real one follows no device for the rest of the process, and
    networks that are built on the device "meta" are half on the CPU.
    """
    with torch.device("cpu"):
        torch.empty(0)


def load_dinov2(source: str, *, device: str = "cpu") -> Dinov2:
    """DINOv2 of a local folder, or of a hub id where the hub can be reached.

    Raises:
        UsageError: transformers is not installed.
        ModelError: there is no such folder, and nothing of this name can be fetched; or it is another network.
    """
    transformers = imported("transformers", extra="features")
    local = Path(source).is_dir()
    _learn_of_devices()
    try:
        network = transformers.Dinov2Model.from_pretrained(
            source, local_files_only=local, use_safetensors=True, trust_remote_code=False, attn_implementation="sdpa"
        )  # told here, so that no config.json names a kernel to be fetched
        file = Path(transformers.utils.cached_file(source, _WEIGHTS, local_files_only=local))
    except Exception as error:  # transformers raises many kinds
        raise_shortage(error, reading=source)
        raise ModelError(
            f"DINOv2 cannot be read from {source}: {' '.join(str(error).split())[:300]}",
            expected="a folder with config.json and model.safetensors, or a hub id such as facebook/dinov2-base",
            remedy="download the folder once on a machine with a network: --features dinov2:FOLDER",
        ) from error
    refuse_broken(network.state_dict(), network, str(file))
    return Dinov2(network.eval().requires_grad_(requires_grad=False).to(device), file)
