"""Loss terms, one number per item; pure functions. Masks are one-hot in [-1, 1], estimates likewise."""

from torch import Tensor

from sfumato.typing import Data, PerItem


def per_item_mean(values: Tensor) -> PerItem:
    """Mean over everything but the batch."""
    return values.flatten(1).mean(1)


def cross_entropy(logits: Data, x0: Data) -> PerItem:
    """Cross-entropy of class scores against a one-hot mask in [-1, 1], mean over pixels, in nats."""
    return per_item_mean(-((x0 + 1) / 2 * logits.log_softmax(1)).sum(1))


def soft_dice(x0_hat: Data, x0: Data, *, smooth: float = 1.0) -> PerItem:
    """1 - soft Dice, mean over the foreground classes (Milletari et al. 2016, with the sum in the denominator).

    Args:
        x0_hat: estimated one-hot mask in [-1, 1], channel 0 is background.
        x0: the true one-hot mask.
        smooth: pixels added to numerator and denominator; makes an empty mask met by an empty estimate cost nothing.
    """
    estimate, truth = (x0_hat[:, 1:] + 1) / 2, (x0[:, 1:] + 1) / 2
    overlap = (estimate * truth).flatten(2).sum(2)
    total = (estimate + truth).flatten(2).sum(2)
    return 1 - ((2 * overlap + smooth) / (total + smooth)).mean(1)
