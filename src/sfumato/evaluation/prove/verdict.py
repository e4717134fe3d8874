"""What the comparison means, in words.

Synthetic images help at a ratio if the arm is better than *every* control (real, real + class weights, real +
duplicates at the same ratio), each difference with its whole interval; they harm if it is worse than every one.
Anything else is no evidence. One measure decides, the others are told beside it: of classifiers the AUROC, since the
balanced accuracy also moves with the threshold alone, and a threshold can be moved without any image.

Where no arm is better than answers that never change, nothing was learnt that images could help: that is all that is
said.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sfumato.evaluation.prove.arms import Arm
from sfumato.evaluation.prove.statistics import Difference, Estimate, Resampled
from sfumato.metrics.table import heading

_Finding = Literal["helps", "harms", "no evidence"]

CALLED = {name: heading(name) for name in ("balanced_accuracy", "auroc", "dice")}
"""How a person writes the measures."""

OPENING: Mapping[_Finding, str] = {
    "helps": "The synthetic images help",
    "harms": "The synthetic images harm",
    "no evidence": "No evidence of benefit",
}


_TOLD_FIRST: tuple[_Finding, ...] = ("helps", "harms", "no evidence")
"""What is told where several ratios are found to differ."""


class Verdict(NamedTuple):
    """The answer.

    Attributes:
        finding: in a word.
        arm: the synthetic arm that it is about: the best of them.
        reading: in sentences, the answer first.
    """

    finding: _Finding
    arm: Arm
    reading: tuple[str, ...]


def controls(arm: Arm, arms: Sequence[Arm]) -> list[Arm]:
    """What a synthetic arm has to be better than."""
    return [other for other in arms if other.kind in ("real", "weights") or other == Arm("duplicates", arm.ratio)]


def arm_differences(resampled: Resampled) -> list[Difference]:
    """Every synthetic arm against each of its controls."""
    arms = list(resampled.scores)
    synthetic = [arm for arm in arms if arm.kind == "synthetic"]
    differences = list[Difference]()
    for arm in synthetic:
        differences += [resampled.difference(arm, control, ratios=len(synthetic)) for control in controls(arm, arms)]
    return differences


def _judge(differences: Sequence[Difference]) -> _Finding:
    """One synthetic arm against all of its controls."""
    if all(each.estimate.low > 0 for each in differences):
        return "helps"
    if all(each.estimate.high < 0 for each in differences):
        return "harms"
    return "no evidence"


def decide_verdict(measures: Mapping[str, Resampled]) -> Verdict:
    """The answer from all measures; the first one decides.

    Where several ratios are found alike, it is about the one that is furthest above its best control. One that helps
    counts more than one that harms; the harm is told.
    """
    (name, first), *others = measures.items()
    by_arm = _by_arm(arm_differences(first))
    findings = {arm: _judge(differences) for arm, differences in by_arm.items()}
    finding = next(word for word in _TOLD_FIRST if word in findings.values())
    told = [arm for arm, word in findings.items() if word == finding]
    arm = max(told, key=lambda each: _closest(by_arm[each]).estimate.value)
    reading = [_answer(finding, arm, _closest(by_arm[arm]), first, name), *_ratios(findings)]
    for other, resampled in others:
        differences = _by_arm(arm_differences(resampled))[arm]
        reading.append(_beside(other, differences, finding))
    return Verdict(finding, arm, (*reading, *_alone(first, name)))


def decide_nothing(measures: Mapping[str, Resampled], constant: Resampled, what: str) -> Verdict:
    """The answer where no arm is above answers that never change.

    Args:
        measures: of all arms; the first one decides.
        constant: the same measure of those answers.
        what: these, in words.
    """
    name, first = next(iter(measures.items()))
    best = max(first.scores, key=lambda arm: first.estimate(arm).value)
    ours, theirs = first.estimate(best), float(next(iter(constant.scores.values())).mean())
    arm = next(arm for arm in first.scores if arm.kind == "synthetic")
    told = (
        f"{OPENING['no evidence']}: no arm is surely better than {what}, so none has learnt anything that more images "
        f"could help. The best, {best.name}, has the {CALLED[name]} {ours.value:.3f} [{ours.low:.3f}, {ours.high:.3f}] "
        f"beside {theirs:.3f}. Longer training (--steps) or more cases may tell more."
    )
    return Verdict("no evidence", arm, (told,))


def _by_arm(differences: Sequence[Difference]) -> dict[Arm, list[Difference]]:
    by_arm: dict[Arm, list[Difference]] = {}
    for each in differences:
        by_arm.setdefault(each.arm, []).append(each)
    return by_arm


def _closest(differences: Sequence[Difference]) -> Difference:
    """The difference to the best control."""
    return min(differences, key=lambda each: each.estimate.value)


def _answer(finding: _Finding, arm: Arm, closest: Difference, scores: Resampled, name: str) -> str:
    ours, theirs = scores.estimate(arm), scores.estimate(closest.control)
    return (
        f"{OPENING[finding]}: the {CALLED[name]} of {arm.name} is {ours.value:.3f}, that of the best control "
        f"({closest.control.name}) {theirs.value:.3f}; the difference is {signed(closest.estimate)}"
        f"{_beaten(finding, closest)}."
    )


def _beaten(finding: _Finding, closest: Difference) -> str:
    """That the best control is better, where this is no harm: not every control is."""
    if finding == "no evidence" and closest.estimate.high < 0:
        return ", so that control is better"
    return ""


def _ratios(findings: Mapping[Arm, _Finding]) -> list[str]:
    """That several ratios were tried, and what was found at each."""
    if len(findings) == 1:
        return []
    each = ", ".join(f"{arm.ratio:g} x: {finding}" for arm, finding in findings.items())
    return [
        f"{len(findings)} ratios were tried ({each}); so that the best of them is not luck, each interval of a "
        f"difference holds at {1 - 0.05 / len(findings):.1%} (Bonferroni)."
    ]


def _beside(name: str, differences: Sequence[Difference], finding: _Finding) -> str:
    """What another measure says about the same arm."""
    also, closest = _judge(differences), _closest(differences)
    agrees = "says the same" if also == finding else f"does not agree: {also}"
    told = f"{signed(closest.estimate)}{_beaten(also, closest)}"
    return f"The {CALLED[name]} {agrees} (against {closest.control.name}: {told})."


def _alone(scores: Resampled, name: str) -> list[str]:
    alone = Arm("alone")
    if alone not in scores.scores:
        return []
    own, real = scores.estimate(alone).value, scores.estimate(Arm("real")).value
    return [f"Trained on synthetic images alone, the {CALLED[name]} on real images is {own:.3f} (real: {real:.3f})."]


def signed(estimate: Estimate) -> str:
    """A difference with its interval."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
