"""`--guidance`, `--guidance-interval`, `--guide`: the same flags for every verb that draws from a model."""

import math
from pathlib import Path

from sfumato.diffusion.guidance import Guidance
from sfumato.errors import UsageError
from sfumato.experiment.run import Model, load_guide
from sfumato.numerals import decimal


def build_flags(
    model: Model, path: Path, *, guidance: float | None, guidance_interval: str | None, guide: str | None
) -> Guidance:
    """The guidance that the flags ask for over the model's recipe.

    Args:
        model: the model to guide.
        path: where it came from; its snapshots are looked up there.
        guidance: the scale; None for the recipe's.
        guidance_interval: two noise-to-signal ratios like 0.2,3; None for the recipe's.
        guide: the weaker model, see `load_guide`; None for classifier-free guidance.

    Raises:
        UsageError: a flag that cannot be read, or that would do nothing.
    """
    weak = None if guide is None else load_guide(guide, path, device=str(model.device))
    limits = None if guidance_interval is None else parse_interval(guidance_interval)
    built = model.guidance(weak, guidance=guidance, guidance_interval=limits)
    idle = [flag for flag, value in {"--guide": guide, "--guidance-interval": limits}.items() if value is not None]
    if built.scale == 1 and idle:
        raise UsageError(f"{' and '.join(idle)} without guidance: scale 1 is none", remedy="--guidance 2, say")
    return built


def parse_interval(text: str) -> tuple[float, float]:
    """Ratios like 0.2,3; `inf` is the noisiest."""
    match [math.inf if part == "inf" else decimal(part) for part in text.replace(" ", "").split(",")]:
        case [float(low), float(high)] if 0 <= low < high:
            return low, high
    raise UsageError(
        f"--guidance-interval {text}", expected="two noise-to-signal ratios like 0.2,3, the lower one first"
    )
