"""How results are drawn from a model."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.recipe.part import Fraction, NonNegative, Part, Positive, Whole, count

RepeatCount = Annotated[int, Field(gt=0, le=10_000), BeforeValidator(count)]

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]

GridName = Literal[
    "uniform", "trailing", "leading", "linspace", "karras", "polyexponential", "log_snr", "critical", "geometric"
]


Highest = Annotated[float, Field(gt=0, allow_inf_nan=True)]
"""A noise-to-signal ratio; infinity is the noisiest."""


class SampleChurn(Part):
    """Noise added before each step of euler, heun and dpm_2 (Karras et al. 2022, alg. 2)."""

    amount: NonNegative = Field(0.0, description="S_churn, spread over the steps; 0: none")
    low: NonNegative = Field(0.0, description="S_min, noise-to-signal ratio below which there is none")
    high: Positive | None = Field(None, description="S_max, ratio above which there is none; null: no limit")
    scale: Positive = Field(1.0, description="S_noise, standard deviation of what is added")

    @model_validator(mode="after")
    def _has_amount(self) -> "SampleChurn":
        if self.amount == 0 and (self.low, self.high, self.scale) != (0, None, 1):
            raise ValueError("churn without an amount does nothing")
        return self


class SamplePath(Part):
    """What euler and heun take straight steps in (Karras et al. 2022, table 1); as it is, EDM's."""

    schedule: Literal["linear", "ve", "vp"] = Field("linear", description="noise level over the solver's time")
    scaling: Literal["none", "vp"] = Field("none", description="scale of the state; vp keeps its variance")


class Sample(Part):
    """How results are drawn."""

    sampler: SamplerName = Field("dpmpp_2m", description="how the process is reversed")
    steps: RepeatCount = Field(18, description="steps of the sampler")
    grid: GridName = Field("log_snr", description="where its steps lie; critical is for masks")
    start: Literal["noise", "twin"] = Field(
        "noise", description="twin: the deterministic twin's mask, corrupted to the critical log-SNR (segment)"
    )
    guidance: NonNegative = Field(1.0, description="1 is none")
    guidance_interval: tuple[NonNegative, Highest] | None = Field(
        None, description="guide only at noise-to-signal ratios above the first and up to the second"
    )
    samples: RepeatCount = Field(1, description="members of an ensemble (segment)")
    eta: Fraction | None = Field(
        None, description="share of the posterior's noise in ddim, ancestral and SDE samplers; null: their own"
    )
    order: Annotated[Whole, Field(ge=1, le=4)] | None = Field(
        None, description="estimates that a step of unipc, dpm_multistep, deis or lms combines; null: their own"
    )
    alpha: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="second call of heun, as a share of the step: 1 Heun (null), 0.5 midpoint, 2/3 Ralston"
    )
    churn: SampleChurn = SampleChurn()
    path: SamplePath = SamplePath()

    @model_validator(mode="after")
    def _interval_opens(self) -> "Sample":
        if self.guidance_interval is not None and self.guidance_interval[0] >= self.guidance_interval[1]:
            low, high = self.guidance_interval
            raise ValueError(f"guidance_interval {low:g} to {high:g} is empty: the first must lie below the second")
        return self
