"""Loss terms, one number per item; pure functions. Masks are one-hot in [-1, 1], estimates likewise.

With g the true mask and p the estimated probability of class k in a pixel, <.> the mean over pixels, N_k the pixels
that are truly of class k, phi the signed distance to the border of the true region (see `distance`), d_g and d_p
distances to the borders of the true and of the estimated region (p > 1/2), both divided by the image's diagonal:

    cross-entropy      < -sum_k g log p >                                                                (1)
    focal              < -sum_k g (1 - p)^gamma log p >                          (Lin et al. 2017)       (2)
    Dice               1 - mean_k (2 sum g p + s) / (sum g + sum p + s)          (Milletari et al. 2016) (3)
    generalised Dice   1 - 2 sum_k w_k sum g p / sum_k w_k (sum g + sum p),  w_k = 1 / N_k^2
                                                                                 (Sudre et al. 2017)     (4)
    boundary           mean_k < phi p >                                          (Kervadec et al. 2019)  (5)
    Hausdorff          mean_k < (p - g)^2 (d_g^alpha + d_p^alpha) >              (Karimi & Salcudean 2019) (6)

(1), (2) and (4) are of all classes, (3), (5) and (6) of the foreground. (5) is below zero for a good estimate: it falls
to the mean of phi over the true region. Distances are shares of the diagonal so that weights mean the same in images of
any size: (5) lies between -1 and 1, (6) between 0 and 2.

Predictions other than logits give estimates outside of [-1, 1], and probabilities that do not sum to one. (1), (2) and
(4) to (6) take them within [0, 1] and divide by their sum; beyond, these terms are constant, and the process's own loss
pulls the estimate back. (3) takes them as they are.
"""

import torch
from torch import Tensor

from sfumato.diffusion.distance import diagonal, signed_distance
from sfumato.typing import Data, PerItem

LEAST = 1e-6
"""The least probability whose logarithm is taken; smaller ones cost as much, 13.8 nats."""


def per_item_mean(values: Tensor) -> PerItem:
    """Mean over everything but the batch."""
    return values.flatten(1).mean(1)


def probabilities(x0_hat: Data) -> Data:
    """Class probabilities in [0, 1], float32, from an estimated one-hot mask in [-1, 1]."""
    return (x0_hat.float() + 1).div_(2).clamp_(0, 1)


def cross_entropy(logits: Data, x0: Data) -> PerItem:
    """Cross-entropy of class scores against a one-hot mask in [-1, 1], mean over pixels, in nats: equation (1)."""
    return per_item_mean(-((x0 + 1) / 2 * logits.log_softmax(1)).sum(1))


def estimate_cross_entropy(x0_hat: Data, x0: Data) -> PerItem:
    """Equation (1) of an estimate whose scores are not known, in nats.

    Args:
        x0_hat: estimated one-hot mask in [-1, 1].
        x0: the true one-hot mask.
    """
    return focal(x0_hat, x0, gamma=0)


def focal(x0_hat: Data, x0: Data, *, gamma: float = 2.0) -> PerItem:
    """Equation (2), in nats: pixels that the estimate is sure of, and right about, hardly count.

    Args:
        x0_hat: estimated one-hot mask in [-1, 1].
        x0: the true one-hot mask.
        gamma: how little they count; 0 (cross-entropy), or at least 1.
    """
    p, g = _shares(x0_hat), (x0 + 1) / 2
    return per_item_mean(-(g * (1 - p) ** gamma * p.clamp(min=LEAST).log()).sum(1))


def soft_dice(x0_hat: Data, x0: Data, *, smooth: float = 1.0) -> PerItem:
    """Equation (3), 1 - soft Dice, mean over the foreground classes.

    Args:
        x0_hat: estimated one-hot mask in [-1, 1], channel 0 is background.
        x0: the true one-hot mask.
        smooth: pixels added to numerator and denominator; makes an empty mask met by an empty estimate cost nothing.
    """
    estimate, truth = (x0_hat[:, 1:] + 1) / 2, (x0[:, 1:] + 1) / 2
    overlap = (estimate * truth).flatten(2).sum(2)
    total = (estimate + truth).flatten(2).sum(2)
    return 1 - ((2 * overlap + smooth) / (total + smooth)).mean(1)


def generalised_dice(x0_hat: Data, x0: Data) -> PerItem:
    """Equation (4): small classes count as much as large ones; one that is absent counts as the smallest present one.

    Args:
        x0_hat: estimated one-hot mask in [-1, 1].
        x0: the true one-hot mask.
    """
    p, g = _shares(x0_hat).flatten(2), ((x0 + 1) / 2).flatten(2)
    pixels = g.sum(2)
    smallest = pixels.masked_fill(pixels == 0, torch.inf).amin(1, keepdim=True)
    weight = torch.where(pixels == 0, smallest, pixels) ** -2
    return 1 - 2 * (weight * (g * p).sum(2)).sum(1) / (weight * (g + p).sum(2)).sum(1)


def boundary_loss(x0_hat: Data, x0: Data) -> PerItem:
    """Equation (5), in diagonals: foreground far from the true region costs most.

    Args:
        x0_hat: estimated one-hot mask in [-1, 1], channel 0 is background.
        x0: the true one-hot mask.
    """
    phi = signed_distance(x0[:, 1:] > 0) / diagonal(x0.shape[2:])
    return per_item_mean(phi * _shares(x0_hat)[:, 1:])


def hausdorff(x0_hat: Data, x0: Data, *, alpha: float = 2.0) -> PerItem:
    """Equation (6), in diagonals to the power of alpha: errors far from both borders cost most.

    Args:
        x0_hat: estimated one-hot mask in [-1, 1], channel 0 is background.
        x0: the true one-hot mask.
        alpha: how much more; the larger, the closer to the Hausdorff distance itself.
    """
    p, truth = _shares(x0_hat)[:, 1:], x0[:, 1:] > 0
    d_g, d_p = (signed_distance(region).abs() / diagonal(x0.shape[2:]) for region in (truth, p > 0.5))
    return per_item_mean((p - truth.float()) ** 2 * (d_g**alpha + d_p**alpha))


def _shares(x0_hat: Data) -> Data:
    """Probabilities that sum to one in each pixel; those of logits do as they are."""
    p = probabilities(x0_hat)
    return p / p.sum(1, keepdim=True).clamp(min=LEAST)
