"""No process at all: the deterministic twin, the baseline that every diffusion result needs beside it.

The same network, the same budget, but the state is zero at every time, so the network must answer from the condition
alone, in one call. What a diffusion model adds is what it does better than this.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from sfumato.diffusion.guidance import guide_linear, guide_one_hot
from sfumato.diffusion.loss import cross_entropy, per_item_mean
from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, Times


@dataclass(frozen=True, kw_only=True)
class Deterministic:
    """A process without noise.

    Args:
        prediction: `logits` for masks (cross-entropy), `x0` for images (mean squared error).
    """

    prediction: Literal["logits", "x0"] = "logits"

    def channels(self, data: int) -> tuple[int, int]:
        """State and output have the channels of the data."""
        return data, data

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> Data:  # noqa: ARG002
        """Zeros."""
        return torch.zeros_like(like)

    def times(self, u: PerItem) -> PerItem:
        """Always 1."""
        return torch.ones_like(u)

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> Data:  # noqa: ARG002
        """Zeros."""
        return torch.zeros_like(x0)

    def log_marginal(self, x_t: Data, x0: Data, t: Times) -> PerItem:  # noqa: ARG002
        """Zero: the state tells nothing."""
        return x_t.new_zeros(len(x_t))

    def network_input(self, x_t: Data, t: Times) -> tuple[Data, PerItem]:  # noqa: ARG002
        """Zeros and level 0."""
        return torch.zeros_like(x_t), x_t.new_zeros(len(x_t))

    def estimate(self, output: Data, x_t: Data, t: Times) -> Data:  # noqa: ARG002
        """The answer itself."""
        return 2 * output.softmax(1) - 1 if self.prediction == "logits" else output

    def loss(self, output: Data, x0: Data, x_t: Data, t: Times) -> PerItem:  # noqa: ARG002
        """Cross-entropy or mean squared error."""
        return cross_entropy(output, x0) if self.prediction == "logits" else per_item_mean((output - x0) ** 2)

    def reverse(self, x_t: Data, x0_hat: Data, t: float, s: float, noise: Noise) -> Data:  # noqa: ARG002
        """The answer at the end, zeros before."""
        return x0_hat if s == 0 else torch.zeros_like(x_t)

    def data(self, estimate: Output) -> Data:
        """All of it."""
        return estimate

    def guide(self, weak: Data, strong: Data, scale: float) -> Data:
        """Linear; of class scores in log-probabilities."""
        return (guide_one_hot if self.prediction == "logits" else guide_linear)(weak, strong, scale)
