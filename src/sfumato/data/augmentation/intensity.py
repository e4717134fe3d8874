"""Intensities of images in [-1, 1], in two or three dimensions: light, field, sharpness; each item by its own numbers.

Items for which an operation was not drawn stay exact under it.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sfumato.data.augmentation.geometry import column, smooth
from sfumato.typing import Data, PerItem


def biased(images: Data, nodes: Float[Tensor, "b 1 *nodes"]) -> Data:
    """(image + 1) / 2 times the exponential of a smooth field, as near the coils of an MR scanner."""
    field = smooth(nodes.to(images.device), images.shape[2:])
    return torch.addcmul(images, images + 1, field.expm1_()).clamp_(-1, 1)


def relit(images: Data, brightness: PerItem, contrast: PerItem, gamma: PerItem | None) -> Data:
    """u^gamma * contrast + (1 - contrast) / 2 + brightness / 2, with u = (image + 1) / 2."""
    brightness, contrast = column(brightness, images), column(contrast, images)
    if gamma is None:
        return (images * contrast).add_(brightness).clamp_(-1, 1)
    gamma = column(gamma, images)
    power = (images + 1).clamp_min_(0).log_().mul_(gamma)  # with `exp`, a quarter of the time of `pow` on a CPU
    power.add_((2 * contrast).log() - math.log(2) * gamma).exp_()
    return power.add_(brightness - contrast).clamp_(-1, 1)


def blurred(images: Data, sigma: PerItem, *, reach: int) -> Data:
    """Gaussian blur, each item with its own width in pixels; `reach` is where the bell is cut."""
    sigma = sigma.to(images.device)
    planes = images.flatten(0, 1)
    planes = planes[None] if images.ndim == 4 else planes.transpose(0, 1)  # (planes, items and channels, h, w)
    plane_reach = min(reach, *(side - 1 for side in images.shape[-2:]))
    for axis in (-2, -1):
        planes = _blurred_along(planes, sigma, axis, reach=plane_reach)
    if images.ndim == 5:
        columns = planes.transpose(0, 1).flatten(2)[None]  # (1, items and channels, d, h w)
        planes = _blurred_along(columns, sigma, -2, reach=min(reach, images.shape[2] - 1))
    return torch.where(column(sigma, images) > 0, planes.reshape(images.shape), images)


def _blurred_along(
    planes: Float[Tensor, "n channels h w"], sigma: PerItem, axis: int, *, reach: int
) -> Float[Tensor, "n channels h w"]:
    """Blur along one of the last two axes; what lies beside is reflected."""
    offset = torch.arange(-reach, reach + 1, device=planes.device, dtype=planes.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(planes.shape[1] // len(sigma), 0)
    shape, beside = ((-1, 1), (0, 0, reach, reach)) if axis == -2 else ((1, -1), (reach, reach, 0, 0))
    padded = functional.pad(planes, beside, mode="reflect")
    return functional.conv2d(padded, kernel.view(planes.shape[1], 1, *shape), groups=planes.shape[1])


def coarsened(images: Data, factor: PerItem) -> Data:
    """Each item as if its pixels had been larger by a factor: resampled to fewer and back, linearly; 1 is exact."""
    mode = "bilinear" if images.ndim == 4 else "trilinear"
    items = [
        image if larger <= 1 else _there_and_back(image, larger, mode)
        for image, larger in zip(torch.split(images, 1), factor.tolist(), strict=True)
    ]
    return torch.cat(items)


def _there_and_back(image: Data, factor: float, mode: str) -> Data:
    size = image.shape[2:]
    few = [max(1, round(side / factor)) for side in size]
    coarse = functional.interpolate(image, few, mode=mode, align_corners=False)
    return functional.interpolate(coarse, size, mode=mode, align_corners=False)
