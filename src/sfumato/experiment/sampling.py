"""How results are drawn from a model: what may be said over its recipe, and what becomes of it for one model."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.errors import UsageError
from sfumato.experiment.overshoot import warn_of_overshoot
from sfumato.experiment.resolve_steps import Steps, resolve_steps
from sfumato.experiment.run import Model, load_guide
from sfumato.tasks.task import Sampler
from sfumato.wording import counted


class Drawing(NamedTuple):
    """How results are drawn from one model.

    Attributes:
        sampler: from noise to a result.
        guidance: away from what.
        calls: network calls of one result, those of a guide counted.
    """

    sampler: Sampler
    guidance: Guidance
    calls: int

    @classmethod
    def of(cls, model: Model, sampler: Sampler, guidance: Guidance = UNGUIDED) -> "Drawing":
        """With a sampler of this model."""
        return cls(sampler, guidance, model.calls(sampler, guidance))


class Passes(NamedTuple):
    """What the masks of one image cost.

    Attributes:
        image: passes of the network over the image.
        draws: calls of what draws from a network that sees an image once, each a small share of a pass.
    """

    image: int
    draws: int = 0

    def __add__(self, other: "Passes") -> "Passes":  # type: ignore[override] # the sum of what they count
        return Passes(self.image + other.image, self.draws + other.draws)

    def words(self) -> str:
        """In words: "8 network calls", or "1 network call and 64 small ones"."""
        calls = counted(self.image, "network call")
        return f"{calls} and {self.draws} small one{'s' if self.draws > 1 else ''}" if self.draws else calls

    def facts(self) -> dict[str, int]:
        """By the names of the manifest and the summary."""
        return {"network_calls": self.image, **({"draw_calls": self.draws} if self.draws else {})}


ONE_CALL = ("none", "ssn")
"""Processes without noise levels."""

IMAGES_AT_ONCE = 32
"""Images, or pairs, that are made at once if nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What may be said of the sampling loop over the model's recipe, which decides the rest.

    Args:
        steps: Steps of the sampler; auto: the fewest that are as good as 50, measured once.
        sampler: One of sample.sampler in docs/recipe.md, such as dpmpp_2m, heun, ddim or ancestral.
        grid: One of sample.grid in docs/recipe.md, such as log_snr, critical, karras or uniform.
        eta: Share of the posterior's noise, 0 to 1; for ddim and the ancestral and SDE samplers.
        churn: Noise added before the steps of euler, heun and dpm_2 (S_churn).
        guidance: Guidance scale, away from 'no class' and 'no mask', or from --guide; 1 is none.
        guidance_interval: Guide only at these noise-to-signal ratios, like 0.2,3: above the first, up to the second.
        guide: Move away from this weaker model of the same data: a model, or step-1000 of the same run.
    """

    steps: Steps | None = None
    sampler: str | None = None
    grid: str | None = None
    eta: float | None = None
    churn: float | None = None
    guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    guide: str | None = None

    def of(
        self, model: Model, path: Path, *, batch: int, below: float | None = None, start: str | None = None
    ) -> Drawing:
        """What it means for a model; says so where the sampler overshoots in its steps.

        Args:
            model: the model.
            path: where it came from: its curve and its snapshots are looked up there.
            batch: results drawn at once, where steps are measured.
            below: the time from which on results are drawn; None for from noise, as the recipe says.
            start: what masks are drawn from, if the recipe's is not wanted: noise or twin.

        Raises:
            UsageError: words that mean nothing to this model, exclude each other, or would do nothing.
            DataError: there are too few validation cases to measure the steps.
            ModelError: steps are to be measured of a model that is no better than a constant.
        """
        self._refuse_one_call(model)
        others = {"--eta": self.eta, "--churn": self.churn, "--guide": self.guide, "--guidance": self.guidance}
        steps = resolve_steps(model, path, self.steps, sampler=self.sampler, grid=self.grid, batch=batch, others=others)
        build = partial(self._sampler, model, below=below, start=start)
        sampler = build(steps)
        warn_of_overshoot(model, sampler, again=build)
        return Drawing.of(model, sampler, self._guidance(model, path))

    def asked(self, drawing: Drawing) -> dict[str, object]:
        """What results depend on, as it was said: measured steps as their number, a guide by its weights."""
        steps = drawing.sampler.words["steps"] if self.steps == "auto" else self.steps
        return {**vars(self), "steps": steps, "guide": drawing.guidance.weak_id}

    def _refuse_one_call(self, model: Model) -> None:
        """A model without noise levels answers in one call: there is nothing to choose.

        Raises:
            UsageError: a step or a sampler is asked for.
        """
        words = {"--sampler": self.sampler, "--grid": self.grid, "--eta": self.eta, "--churn": self.churn}
        given = [flag for flag, value in {"--steps": self.steps, **words}.items() if value is not None]
        kind = model.recipe.process.kind
        if given and kind in ONE_CALL:
            raise UsageError(
                f"{' and '.join(given)} of {model.name}, a model of process {kind}: it answers in one call",
                expected="a model that diffuses",
                remedy="leave it out",
            )

    def _sampler(self, model: Model, steps: int | None, *, below: float | None, start: str | None) -> Sampler:
        words = {"sampler": self.sampler, "grid": self.grid, "eta": self.eta, "churn": self.churn, "start": start}
        sampler = model.sampler(steps=steps, **words)
        return sampler if below is None else sampler.below(below)

    def _guidance(self, model: Model, path: Path) -> Guidance:
        guide = None if self.guide is None else load_guide(self.guide, path, device=str(model.device))
        guidance = model.guidance(guide, guidance=self.guidance, guidance_interval=self._interval())
        idle = {"--guide": self.guide, "--guidance-interval": self.guidance_interval}
        if guidance.scale == 1 and (given := [flag for flag, value in idle.items() if value is not None]):
            raise UsageError(f"{' and '.join(given)} without guidance: scale 1 is none", remedy="--guidance 2, say")
        return guidance

    def _interval(self) -> tuple[float, float] | None:
        if self.guidance_interval is None:
            return None
        low, high = self.guidance_interval
        if not 0 <= low < high:
            raise UsageError(
                f"--guidance-interval {low:g},{high:g}",
                expected="two noise-to-signal ratios like 0.2,3, the lower one first",
            )
        return low, high


AS_TRAINED = Sampling()
"""Nothing said: the model's recipe decides."""
