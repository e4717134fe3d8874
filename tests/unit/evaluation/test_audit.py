"""Misled states, the arms and what they cost, the numbers of a case, and the sentences that follow from them."""

import math

import numpy as np
import pytest
import torch
from tests.unit.test_inference import SPEC, Bright

from sfumato.builder.process import build_process
from sfumato.data.mask import IGNORED
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Denoise, Process
from sfumato.errors import UsageError
from sfumato.evaluation.audit.arms import (
    MATCHED_ARM,
    RANDOM,
    RECOMMENDED,
    SHUFFLED,
    SSN_ARM,
    TWIN_ARM,
    SamplingArm,
    arms_of,
)
from sfumato.evaluation.audit.measure import AuditCase, score
from sfumato.evaluation.audit.reading import Audit
from sfumato.evaluation.audit.states import RandomState, ShuffledState
from sfumato.experiment.fewest_steps import reader_dice
from sfumato.experiment.run import Model
from sfumato.randomness import Noise
from sfumato.recipe import load_recipe
from sfumato.tasks.task import Sampler, last

DRAWN = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0)).gt(0.5).long()
TRUTH = 2 * torch.nn.functional.one_hot(DRAWN, 2).movedim(-1, 1).float() - 1
SAMPLER = Sampler(name="ddim", times=(0.99, 0.7, 0.3, 0.0))


def process_of(kind: str) -> Process:
    return build_process(load_recipe("segment", settings=[f"process.kind={kind}", "process.critical_log_snr=-5"]))


def walked(process: Process, denoise: Denoise, sampler: Sampler = SAMPLER) -> torch.Tensor:
    steps = sampler(process, denoise, torch.empty_like(TRUTH), Condition(), Noise(range(6)))
    return last(steps).x0


def oracle(x_t: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:
    return TRUTH.to(x_t.dtype)


def copies(x_t: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:
    return x_t.clamp(-1, 1)


def misled(denoise: Denoise, process: Process) -> dict[str, Denoise]:
    noise = Noise([100 + k for k in range(6)])
    return {
        RANDOM: RandomState(denoise=denoise, process=process, channels=2, noise=noise),
        SHUFFLED: ShuffledState(denoise=denoise, by=2),
    }


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
@pytest.mark.parametrize("way", [RANDOM, SHUFFLED])
def test_nothing_changes_for_a_denoiser_that_ignores_the_state(kind: str, way: str) -> None:
    process, sampler = process_of(kind), Sampler(name="ancestral", times=SAMPLER.times)
    assert torch.equal(
        walked(process, misled(oracle, process)[way], sampler), walked(process, oracle, sampler)
    )  # fmt: skip


def test_a_denoiser_that_copies_its_state_ends_at_that_of_another_case() -> None:
    process = process_of("gaussian")
    seen: list[torch.Tensor] = []

    def copying(x_t: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:
        seen.append(x_t)
        return copies(x_t, t, condition)

    own, other = walked(process, copies), walked(process, misled(copies, process)[SHUFFLED])
    assert not torch.allclose(own, other, atol=0.1)
    state = torch.randn(6, 2, 8, 8)
    misled(copying, process)[SHUFFLED](state, 0.5, Condition())
    assert torch.equal(seen[-1][2:], state[:-2]) and torch.equal(seen[-1][:2], state[-2:])


def test_a_random_state_is_noise_of_the_right_level_new_at_every_call() -> None:
    process = process_of("gaussian")
    assert isinstance(process, Gaussian)
    shown = misled(lambda x_t, _t, _condition: x_t, process)[RANDOM]
    state = 100 * torch.ones(6, 2, 8, 8)
    for t in (0.9, 0.3):
        first, second = (shown(state, t, Condition()) for _ in range(2))
        assert not torch.equal(first, second)
        assert (
            float(first.std()) == pytest.approx(process.coefficients(t)[1], rel=0.1) and abs(float(first.mean())) < 0.1
        )


def model(*settings: str) -> Model:
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-5", *settings])
    return Model("model", recipe, SPEC, build_process(recipe), Bright().eval().requires_grad_(False), 1, "")


def test_every_arm_says_what_it_costs() -> None:
    arms = arms_of(model("sample.steps=4"), {"twin": model("process.kind=none")}, calls=[1, 2, 50], members=3)
    costs = {arm.name: arm.calls for arm in arms}
    assert costs == {
        RECOMMENDED: 12, "1 call": 3, "2 calls": 6, "50 calls": 150, TWIN_ARM: 1, MATCHED_ARM: 8, RANDOM: 12,
        SHUFFLED: 12,
    }  # fmt: skip
    assert {arm.name for arm in arms if arm.tta} == {MATCHED_ARM}
    drawn = arms_of(model("sample.steps=4"), {"ssn": model("process={kind: ssn, classes: 2}")}, calls=[1], members=3)
    told = {arm.name: (arm.calls, arm.members) for arm in drawn}
    assert told[SSN_ARM] == (1, 3) and TWIN_ARM not in told, "the answer to an image is that of all members"
    fewer = {
        arm.name: arm.calls
        for arm in arms_of(model("sample.steps=2"), {"twin": model("process.kind=none")}, calls=[], members=2)
    }
    assert fewer[MATCHED_ARM] == fewer[RECOMMENDED] == 4
    assert TWIN_ARM not in {arm.name for arm in arms_of(model(), {}, calls=[1], members=1)}


def test_a_sampler_of_two_calls_a_step_has_the_steps_that_fit() -> None:
    arms = arms_of(model("sample.sampler=heun", "sample.grid=log_snr"), {}, calls=[1, 2, 4, 10], members=1)
    assert [arm.name for arm in arms[1:-2]] == ["1 call", "3 calls", "9 calls"]


def test_a_deterministic_model_is_refused() -> None:
    for process in ("{kind: none}", "{kind: ssn, classes: 2}"):
        with pytest.raises(UsageError, match="it has no noisy state"):
            arms_of(model(f"process={process}"), {}, calls=[1], members=1)
    with pytest.raises(UsageError, match="starts from its twin"):
        arms_of(model("sample.start=twin"), {}, calls=[1], members=1)


def test_only_the_misled_arms_wrap_the_denoiser() -> None:
    arms = {arm.name: arm for arm in arms_of(model(), {}, calls=[1], members=2)}
    assert arms[RECOMMENDED].around(["a", "b"], 0)(copies) is copies
    shuffled = arms[SHUFFLED].around(["a", "b"], 0)(copies)
    assert isinstance(shuffled, ShuffledState) and shuffled.by == 2, "the members of another case, not of the same"
    first, second, other = (arms[RANDOM].around(["a", "b"], seed)(copies) for seed in (0, 0, 1))
    state = torch.zeros(4, 2, 8, 8)
    drawn = [each(state, 0.5, Condition()) for each in (first, second, other)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert len({each.sum().item() for each in drawn[0]}) == 4, "each member has its own"


def test_the_numbers_of_a_case() -> None:
    rng = np.random.default_rng(0)
    readers = np.zeros((2, 16, 16), np.uint8)
    readers[0, 4:12, 4:12] = readers[1, 4:12, 6:14] = 1
    members = rng.dirichlet([1, 1], (3, 16, 16)).transpose(0, 3, 1, 2)
    found = score(members, readers)
    assert found.dice == reader_dice(members.mean(0).argmax(0), readers, 2)
    p = members.mean(0)[1]
    assert found.brier == pytest.approx(np.mean([(p - reader) ** 2 for reader in readers]))
    assert all(math.isfinite(value) for name, value in found._asdict().items() if name != "seconds")
    alone = score(members[:1], readers)
    assert math.isnan(alone.ged_u) and math.isnan(alone.hm_iou) and alone.dice != found.dice
    truth = np.stack([1.0 - readers[0], readers[0]])[None]
    assert score(truth, readers[:1])[:6] == pytest.approx((1, math.nan, math.nan, 0, 0, 0), nan_ok=True)


def test_pixels_that_nobody_speaks_of_count_for_nothing() -> None:
    rng = np.random.default_rng(1)
    members = rng.dirichlet([1, 1], (2, 16, 16)).transpose(0, 3, 1, 2)
    readers = np.zeros((1, 16, 16), np.uint8)
    readers[0, 4:12, 4:12], readers[0, :, 14:] = 1, IGNORED
    changed = members.copy()
    changed[..., 14:] = changed[:, ::-1, :, 14:]
    np.testing.assert_allclose(score(members, readers), score(changed, readers))
    both = np.concatenate([readers, readers % IGNORED])
    other = both.copy()
    other[1, :, 14:] = 1  # said by one reader only
    np.testing.assert_allclose(score(members, both), score(members, other))


def told(**dices: float) -> str:
    """The reading of an audit in which each case has these values of Dice, give or take."""
    spread_of = np.random.default_rng(0).normal(0, 0.02, 40)
    names = {
        "ours": RECOMMENDED,
        "noise": RANDOM,
        "other": SHUFFLED,
        "one": "1 call",
        "many": "50 calls",
        "views": MATCHED_ARM,
    }
    table = {
        names[key]: [
            AuditCase(dice + each, *[math.nan] * 7) for each in np.random.default_rng(k).permutation(spread_of)
        ]
        for k, (key, dice) in enumerate(dices.items())
    }
    calls = {RECOMMENDED: 8, "1 call": 1, "50 calls": 50, MATCHED_ARM: 8}
    ours = model()
    arms = [
        SamplingArm(name=name, model=ours, sampler=ours.sampler(steps=calls.get(name, 8)), members=1) for name in table
    ]
    return " ".join(Audit(arms=arms, table=table, patients=[str(k) for k in range(40)], readers=1).reading())


def test_the_reading_of_a_model_that_listens_to_its_state() -> None:
    words = told(ours=0.8, noise=0.7, other=0.5, one=0.6, many=0.8, views=0.7)
    assert "The noisy state matters: replacing it by noise costs 0.100 Dice [0." in words
    assert "replacing it by that of another case costs 0.300" in words
    assert "More calls are better up to 50 calls." in words
    assert "The diffusion model is better than its twin seen in 8 views (8 calls against 8): +0.100" in words


def test_the_reading_of_a_segmenter_in_disguise() -> None:
    words = told(ours=0.8, noise=0.8, other=0.8, one=0.8, many=0.8, views=0.8)
    assert "Replacing the state changes nothing" in words and "segmenter in disguise" in words
    assert "50 calls are no better than 1 call in Dice" in words
    assert "cannot be told apart on these 40 cases" in words
    assert "The noisy state matters" not in words


def test_too_few_cases_are_no_proof_of_either() -> None:
    words = told(ours=0.8, noise=0.797, other=0.797, one=0.7, many=0.8)
    assert "shows no clear loss on these 40 cases" in words and "matters" not in words


def test_the_reading_of_a_model_that_needs_no_state_but_believes_a_wrong_one() -> None:
    words = told(ours=0.8, noise=0.8, other=0.5, one=0.7, many=0.8)
    assert "Replacing the noisy state by noise changes nothing" in words and "A wrong state misleads" in words
    assert "There is no deterministic twin" in words and "is worse than" in told(
        ours=0.7, noise=0.7, other=0.7, views=0.8
    )
