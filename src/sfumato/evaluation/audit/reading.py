"""From the numbers of an audit to a table with intervals, and to sentences that say what it shows.

Every difference is between two arms on the same cases, with the interval of patients drawn again. Its sentence follows
from where the interval lies: all on one side of 0, within `_SAME` of 0 (nothing changes), or neither (too few cases).
A model that is no better than a constant mask is told so, and nothing else is: whatever is done to it changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sfumato.evaluation.audit.arms import MATCHED_ARM, RANDOM, RECOMMENDED, SHUFFLED, TWIN_ARM, SamplingArm
from sfumato.evaluation.audit.measure import AuditCase, mean
from sfumato.metrics.interval import Interval, grouped_mean_interval
from sfumato.tasks.constant_mask import BesideConstant, ConstantMask, compare_with_constant

_SAME = 0.01
"""A difference of Dice that nobody would act upon."""

_SEED = 0
"""Of the bootstrap."""


class ArmRow(NamedTuple):
    """One arm in the table.

    Attributes:
        name: the arm.
        calls: network calls for one image.
        dice: mean over the cases, with its interval.
        difference: of Dice from the recommended way; None for that way itself.
        means: of all numbers, over the cases in which they are defined.
    """

    name: str
    calls: int
    dice: Interval
    difference: Interval | None
    means: AuditCase


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All numbers of an audit.

    Attributes:
        arms: what was compared, the recommended way first.
        table: a row of numbers for each case, by arm.
        patients: whose the cases are.
        readers: of each case.
        constant: the best mask that is the same for every image; None where it was not looked for.
    """

    arms: Sequence[SamplingArm]
    table: Mapping[str, Sequence[AuditCase]]
    patients: Sequence[str]
    readers: int
    constant: ConstantMask | None = None

    def lines(self) -> list[ArmRow]:
        """The table."""
        return [self._line(arm) for arm in self.arms]

    def _line(self, arm: SamplingArm) -> ArmRow:
        numbers = np.array(self.table[arm.name])
        return ArmRow(
            name=arm.name,
            calls=arm.calls,
            dice=grouped_mean_interval(self._dice(arm.name), self.patients, seed=_SEED),
            difference=None if arm.name == RECOMMENDED else self.difference(arm.name, RECOMMENDED),
            means=AuditCase(*map(mean, numbers.T)),
        )

    def difference(self, first: str, second: str) -> Interval:
        """Dice of one arm minus that of another."""
        return grouped_mean_interval(self._dice(first) - self._dice(second), self.patients, seed=_SEED)

    def _dice(self, name: str) -> np.ndarray:
        return np.array([row.dice for row in self.table[name]])

    def beside_constant(self, name: str) -> BesideConstant | None:
        """An arm beside the constant mask."""
        return None if self.constant is None else compare_with_constant(self._dice(name), self.constant, self.patients)

    def reading(self) -> list[str]:
        """What the numbers say."""
        found = self.beside_constant(RECOMMENDED)
        if found is not None and not found.is_better:
            return [
                f"{found.sentence('The model')}. So whether its state, its calls or its twin matter cannot be said."
            ]
        return [*self._about_states(), *self._about_calls(), *self._about_twin(), *_about_constant(found)]

    def _about_states(self) -> Iterator[str]:
        ways = {"noise": RANDOM, "that of another case": SHUFFLED}
        differences = {what: self.difference(name, RECOMMENDED) for what, name in ways.items()}
        if all(map(_same, differences.values())):
            told = " and ".join(f"{_told(difference)} Dice with {what}" for what, difference in differences.items())
            yield (
                f"Replacing the state changes nothing ({told}): on this data the model is a deterministic segmenter in "
                "disguise."
            )
            return
        yield from (_cost(what, difference) for what, difference in differences.items())
        if differences["that of another case"].high < 0 <= differences["noise"].high:
            yield "A wrong state misleads the model, though no loss is seen when it has none: then the image is enough."

    def _about_calls(self) -> Iterator[str]:
        counted = [arm for arm in self.arms if arm.name.partition(" ")[2] in ("call", "calls")]
        if len(counted) < 2:
            return
        most = max(counted, key=lambda arm: arm.calls)
        for arm in sorted(counted, key=lambda arm: arm.calls)[:-1]:
            difference = self.difference(arm.name, most.name)
            if not difference.high < 0:
                yield f"{most.name} are no better than {arm.name} in Dice: {_told(difference)} for the fewer."
                return
        yield f"More calls are better up to {most.name}."

    def _about_twin(self) -> Iterator[str]:
        matched = MATCHED_ARM if MATCHED_ARM in self.table else TWIN_ARM
        if matched not in self.table:
            yield "There is no deterministic twin to compare with: train with --twin."
            return
        alone = self.beside_constant(TWIN_ARM) if TWIN_ARM in self.table else None
        if alone is not None and not alone.is_better:
            yield f"{alone.sentence('The deterministic twin')}. So that the diffusion model is better proves nothing."
            return
        calls = {arm.name: arm.calls for arm in self.arms}
        what = f"its twin seen in {calls[matched]} views" if matched == MATCHED_ARM else "its twin"
        what += f" ({calls[matched]} calls against {calls[RECOMMENDED]})"
        yield f"{_compared(self.difference(RECOMMENDED, matched), what)}{self._distances(matched)}"

    def _distances(self, matched: str) -> str:
        """The same of the distance to the readers."""
        ours, theirs = (np.array([row.ged_u for row in self.table[name]]) for name in (RECOMMENDED, matched))
        if not np.isfinite(ours).all() or not np.isfinite(theirs).all():
            return ""
        difference = grouped_mean_interval(ours - theirs, self.patients, seed=_SEED)
        closer = "closer" if difference.high < 0 else "farther" if difference.low > 0 else "neither closer nor farther"
        return f" To the {self.readers} readers it is {closer}: {_told(difference)} GED."


def _about_constant(found: BesideConstant | None) -> Iterator[str]:
    if found is not None:
        yield f"{found.mask.capitalize()}, in every image, would have a Dice of {found.of_mask:.3f}."


def _cost(what: str, difference: Interval) -> str:
    """What it costs to replace the state by something."""
    if difference.high < 0:
        cost = f"{-difference.mean:.3f} Dice {bounds(-difference.high, -difference.low)}"
        return f"The noisy state matters: replacing it by {what} costs {cost}."
    found = "changes nothing" if _same(difference) else f"shows no clear loss on these {difference.cases} cases"
    return f"Replacing the noisy state by {what} {found}: {_told(difference)} Dice."


def _compared(difference: Interval, what: str) -> str:
    if difference.low > 0 or difference.high < 0:
        word = "better" if difference.low > 0 else "worse"
        return f"The diffusion model is {word} than {what}: {_told(difference)} Dice."
    return (
        f"The diffusion model and {what} cannot be told apart on these {difference.cases} cases: "
        f"{_told(difference)} Dice."
    )


def _same(difference: Interval) -> bool:
    return max(-difference.low, difference.high) <= _SAME


def _told(interval: Interval) -> str:
    return f"{interval.mean:+.3f} {bounds(interval.low, interval.high)}"


def bounds(low: float, high: float) -> str:
    """The ends of an interval, for a person."""
    return f"[{low:.3f}, {high:.3f}]"
