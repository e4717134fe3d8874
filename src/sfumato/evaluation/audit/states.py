"""Denoisers around a denoiser which hide the noisy state from it: does it listen to the state, or to the image alone?

The audits of "Rethinking diffusion segmentation" (arXiv 2609.23967), here of a trained model while it samples:

    random     x_t is replaced by prior noise of time t, drawn anew at every call                                (1)
    shuffled   x_t is replaced by the state of another image at the same time, drawn with the same sampler       (2)

The image stays the case's own, and so does the walk: only what the denoiser sees is replaced. In (1) nothing of the
mask is visible any more; in (2) the state looks as the network is used to, but belongs to another case.
"""

from dataclasses import dataclass

from sfumato.diffusion.process import Condition, Denoise, Process
from sfumato.randomness import Noise
from sfumato.typing import Data, Output


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """Equation (1).

    Args:
        denoise: the denoiser to mislead.
        process: its process.
        channels: of the data.
        noise: where the states come from; not the sampler's, whose numbers stay as they are.
    """

    denoise: Denoise
    process: Process
    channels: int
    noise: Noise

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """The estimate from noise instead of `x_t`."""
        like = x_t.new_empty(len(x_t), self.channels, *x_t.shape[2:])
        return self.denoise(self.process.prior(like, self.noise, t=t).to(x_t), t, condition)


@dataclass(frozen=True, kw_only=True)
class ShuffledState:
    """Equation (2): the state of the image `by` places before, in a circle.

    Args:
        denoise: the denoiser to mislead.
        by: how many places; the number of members, where these lie side by side.
    """

    denoise: Denoise
    by: int

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """The estimate from the state of another image."""
        return self.denoise(x_t.roll(self.by, 0), t, condition)
