"""A denoiser is process + network: x_t, t, condition -> x0_hat.

Samplers call a denoiser and know neither what the network predicts nor that guidance exists.
"""

from dataclasses import dataclass

from sfumato.diffusion.process import Condition, Network, Process
from sfumato.typing import Data


@dataclass(frozen=True)
class Denoiser:
    """The estimate of a network.

    Args:
        process: turns states into network inputs, and outputs into estimates.
        network: the neural network.
        clip: limit of |x0_hat| (1 for images, which end in [-1, 1]); None for no limit.
    """

    process: Process
    network: Network
    clip: float | None = None

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Data:
        """x0_hat, in the dtype of `x_t`."""
        x, level = self.process.network_input(x_t, t)
        x0_hat = self.process.estimate(self.network(x, level, condition).to(x_t.dtype), x_t, t)
        return x0_hat if self.clip is None else x0_hat.clamp(-self.clip, self.clip)
