"""Calls told are calls made: whatever the sampler, its options, the guidance and its interval."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfumato.builder.process import build_process, critical_log_snr
from sfumato.builder.sampling import build_sampler
from sfumato.diffusion.guidance import Guidance
from sfumato.diffusion.process import Condition, Process
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.randomness import Noise
from sfumato.recipe import load_recipe
from sfumato.tasks.counting import count_calls
from sfumato.tasks.segment import draw_masks
from sfumato.tasks.synthesise import draw_images
from sfumato.tasks.task import Sampler, last

ITEMS, SIDE = 8, 4  # a full piece, see `diffusion.pieces`
EDM = ["process={kind: edm, sigma_data: 0.5}"]
JUMPING = ["train.few_calls=2"]


@dataclass
class Seen:
    """The items that networks looked at."""

    items: int = 0


@dataclass
class Watched(nn.Module):
    """Any answer, and the number of items that were looked at."""

    channels: int
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        self.seen.items += len(x)
        return 0.3 * x[:, :1].expand(-1, self.channels, -1, -1)


def drawn(task: str, settings: list[str]) -> tuple[Process, Sampler]:
    recipe = load_recipe(task, settings=settings)  # type: ignore[arg-type]
    process = build_process(recipe)
    return process, build_sampler(recipe.sample, process, critical=critical_log_snr(recipe))


def images(process: Process, sampler: Sampler, guidance: Guidance, network: Watched) -> None:
    noise, like = Noise(range(ITEMS)), torch.zeros(ITEMS, 1, SIDE, SIDE)
    x = process.prior(like, noise, t=sampler.times[0])
    last(draw_images(process, network, sampler, x, [0, 1, None, 1] * 2, noise, guidance=guidance, classes=2))


def check(process: Process, sampler: Sampler, *, scale: float, interval: Any, weak: bool) -> int:
    """Calls of one image, as told and as made."""
    outputs = SAMPLERS[sampler.name].sampled_process(process).channels(1)[1]
    network = Watched(outputs)
    limits = {} if interval is None else {"interval": interval}
    guidance = Guidance(scale=scale, weak=Watched(outputs, network.seen) if weak else None, **limits)
    told = count_calls(process, sampler, guidance, channels=1)
    images(process, sampler, guidance, network)
    assert told == network.seen.items / ITEMS
    return told


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_under_guidance(name: str, steps: int) -> None:
    words = JUMPING if SAMPLERS[name].jumps else EDM
    process, sampler = drawn("generate", [*words, f"sample.sampler={name}", f"sample.steps={steps}"])
    plain = check(process, sampler, scale=1.0, interval=None, weak=False)
    assert plain == sampler.calls, "what the catalogue says"
    assert check(process, sampler, scale=2.0, interval=None, weak=False) == 2 * plain
    assert check(process, sampler, scale=2.0, interval=(90.0, 100.0), weak=False) == plain
    for weak in (False, True):
        for interval in ((0.05, 3.0), (3.0, float("inf")), (0.0, 0.002)):
            assert plain <= check(process, sampler, scale=0.5, interval=interval, weak=weak) <= 2 * plain


@pytest.mark.parametrize("churn", ["{amount: 30}", "{amount: 5, low: 0.1, high: 10}"])
@pytest.mark.parametrize("name", ["euler", "heun", "dpm_2"])
def test_churn_moves_calls_into_an_interval_or_out_of_it(name: str, churn: str) -> None:
    words = [*EDM, f"sample.sampler={name}", "sample.steps=6"]
    process, calm = drawn("generate", words)
    _, stirred = drawn("generate", [*words, f"sample.churn={churn}"])
    ratio = float(process.schedule.ratio(torch.tensor([calm.times[2]], dtype=torch.float64)))  # type: ignore[attr-defined]
    interval = (0.0, ratio * (1 + 1e-9))
    told = [check(process, each, scale=2.0, interval=interval, weak=False) for each in (calm, stirred)]
    assert told[1] < told[0], "the step that ended the interval starts above it now"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (["process={kind: gaussian, variance: learned}"], "ancestral"),
        (["process={kind: gaussian, variance: learned}"], "dpmpp_2m"),
        (["process={kind: vp}"], "heun"), (["process={kind: ve}"], "unipc"), (EDM, "heun"),
        ([*EDM, "sample.alpha=0.5", "sample.path={schedule: vp, scaling: vp}"], "heun"),
    ],
)  # fmt: skip
def test_processes_and_paths(settings: list[str], name: str) -> None:
    process, sampler = drawn("generate", [*settings, f"sample.sampler={name}", "sample.steps=5", "sample.grid=log_snr"])
    for each in (sampler, sampler.below(0.4), replace(sampler, self_condition=1)):
        if each.self_condition == 0:
            check(process, each, scale=2.0, interval=(0.1, 2.0), weak=False)
        assert count_calls(process, each, Guidance(), channels=1) == each.calls


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "settings",
    [[], ["process={kind: categorical, critical_log_snr: -5}", "sample.sampler=ancestral"], ["sample.sampler=heun"],
     ["process={kind: sdd, classes: 2, critical_log_snr: -5}", "data.size=[4, 4]"], ["process={kind: none}"]],
)  # fmt: skip
def test_masks(settings: list[str], warm: bool) -> None:
    deterministic = settings[:1] == ["process={kind: none}"]
    if deterministic and warm:
        pytest.skip("a deterministic model starts from nothing")
    critical = [] if any("kind" in each for each in settings) else ["process.critical_log_snr=-5"]
    words = [*settings, *critical, *(["sample.start=twin"] if warm else [])]
    process, sampler = drawn("segment", words)
    network = Watched(process.channels(2)[1])
    weak, like = Watched(network.channels, network.seen), torch.zeros(ITEMS, 1, SIDE, SIDE)
    guidance = Guidance() if deterministic else Guidance(scale=2.0, weak=weak)
    told = count_calls(process, sampler, guidance, channels=2)
    estimate = torch.zeros(ITEMS, 2, SIDE, SIDE) if warm else None
    last(draw_masks(process, network, sampler, like, 2, seeds=range(ITEMS), start=estimate, guidance=guidance))
    assert told == network.seen.items / ITEMS == sampler.calls * (1 if deterministic else 2)
