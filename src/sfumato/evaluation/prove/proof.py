"""All answers together: scores, differences, verdict; as tables and as plain data."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import Case
from sfumato.evaluation.prove.arms import Arm
from sfumato.evaluation.prove.baselines import BaselineScore, read_standings, stand
from sfumato.evaluation.prove.constant import constant_answer
from sfumato.evaluation.prove.job import DownstreamTask
from sfumato.evaluation.prove.statistics import Resampled, ScoreFunction, resample
from sfumato.evaluation.prove.train import Answers
from sfumato.evaluation.prove.verdict import Verdict, arm_differences, decide_nothing, decide_verdict
from sfumato.metrics.classification import Confusion, auroc, balanced_accuracy, confusion_of, each_class

_LIMITS = (
    "The answer is about these SAMPLES, this REAL and this network: a larger network, a longer training or another "
    "draw of the generator may give another.",
    "The test images come from the same source as the training images; another hospital is another question.",
    "No evidence of benefit is not evidence of no benefit: the width of the interval says how large an effect could "
    "have been missed.",
    "A benefit says nothing about privacy: sfumato evaluate images looks for copies of training images.",
)

_Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found out.

    Attributes:
        dataset: the mixture; its test split was asked about.
        task: what was trained.
        answers: of each arm, one for each seed.
        positive: the class whose F1 is told, of classifiers.
        notes: what a reader must know.
        settings: how all models were trained.
    """

    dataset: Dataset
    task: DownstreamTask
    answers: Mapping[Arm, Sequence[Answers]]
    positive: str
    notes: Sequence[str]
    settings: Mapping[str, Any]

    @cached_property
    def truth(self) -> np.ndarray:
        """The class of each test case."""
        labels: np.ndarray = self.dataset.labels(self.dataset.rows("test")).numpy()
        return labels

    @cached_property
    def measures(self) -> Mapping[str, Resampled]:
        """The scores of all arms by measure; the first one decides."""
        return {name: resample(self.answers, measure, self._groups) for name, measure in self._measures().items()}

    @cached_property
    def _groups(self) -> list[str]:
        """What each test case is drawn with."""
        return [_drawn_with(self.dataset.cases[row]) for row in self.dataset.rows("test")]

    @cached_property
    def _constant(self) -> tuple[str, Resampled]:
        """Answers that never change, in words, and what the deciding measure makes of them."""
        found, seeds = constant_answer(self.dataset, self.task), len(next(iter(self.answers.values())))
        measure = next(iter(self._measures().values()))
        return found.what, resample({Arm("real"): [found.answers] * seeds}, measure, self._groups)

    @cached_property
    def above_constant(self) -> list[Arm]:
        """The arms that are surely better than answers that never change, by the deciding measure."""
        first = next(iter(self.measures.values()))
        return [arm for arm in self.answers if first.above(arm, self._constant[1]).low > 0]

    @cached_property
    def verdict(self) -> Verdict:
        """The answer."""
        if not self.above_constant:
            what, constant = self._constant
            return decide_nothing(self.measures, constant, what)
        return decide_verdict(self.measures)

    @cached_property
    def confusions(self) -> Mapping[Arm, Confusion]:
        """Of each arm the mean over seeds; empty of segmenters."""
        if self.task == "segment":
            return {}
        means: dict[Arm, Confusion] = {}
        for arm, of_seeds in self.answers.items():
            means[arm] = np.mean([self._confusion(answers) for answers in of_seeds], axis=0)
        return means

    @cached_property
    def standings(self) -> list[BaselineScore]:
        """Each arm beside the constant answer; none of segmenters."""
        place = self.dataset.spec.classes.index(self.positive) if self.confusions else 0
        return [stand(arm.name, confusion, positive=place) for arm, confusion in self.confusions.items()]

    @property
    def reading(self) -> list[str]:
        """In sentences, the answer first."""
        baselines = read_standings(self.standings, positive=f"'{self.positive}'") if self.standings else []
        return [*self.verdict.reading, *baselines]

    def _measures(self) -> dict[str, ScoreFunction]:
        if self.task == "segment":
            return {"dice": lambda answers, weights: (weights @ answers.mean(1)) / weights.sum(1)}
        truth = self.truth
        return {
            "auroc": lambda answers, weights: auroc(answers, truth, weights),
            "balanced_accuracy": lambda answers, weights: balanced_accuracy(answers.argmax(1), truth, weights),
        }

    def _confusion(self, answers: Answers) -> Confusion:
        return confusion_of(self.truth, answers.argmax(1), classes=len(self.dataset.spec.classes))

    def scores(self) -> list[_Row]:
        """A row for each arm, seed, measure and class; `mean` is the mean over seeds, with its interval."""
        rows = list[_Row]()
        for arm in self.answers:
            rows += self._of_seeds(arm)
            rows += self._of_means(arm)
        return rows

    def _of_seeds(self, arm: Arm) -> Iterator[_Row]:
        for name, resampled in self.measures.items():
            for seed, value in enumerate(resampled.scores[arm].tolist()):
                yield _row(arm, seed, name, "", value)
        for seed, answers in enumerate(self.answers[arm]):
            if self.task == "classify":
                yield from _classes(arm, seed, self._confusion(answers), self.dataset.spec.classes)
            else:
                for name, value in zip(self.dataset.spec.mask_classes[1:], answers.mean(0).tolist(), strict=True):
                    yield _row(arm, seed, "dice", name, value)

    def _of_means(self, arm: Arm) -> Iterator[_Row]:
        for name, resampled in self.measures.items():
            estimate = resampled.estimate(arm)
            yield _row(arm, "mean", name, "", *estimate)
        if arm in self.confusions:
            yield from _classes(arm, "mean", self.confusions[arm], self.dataset.spec.classes)

    def predictions(self) -> Iterator[_Row]:
        """A row for each test case, arm and seed."""
        spec, rows = self.dataset.spec, self.dataset.rows("test")
        names = spec.classes if self.task == "classify" else tuple(f"dice {name}" for name in spec.mask_classes[1:])
        for arm, given in self.answers.items():
            for seed, answers in enumerate(given):
                for row, values in zip(rows, answers.tolist(), strict=True):
                    case = self.dataset.cases[row]
                    about = {"id": case.id, "patient": case.patient or "", "class": case.label or ""}
                    numbers = {name: round(value, 5) for name, value in zip(names, values, strict=True)}
                    yield {**about, "arm": arm.title, "ratio": _ratio(arm), "seed": seed, **numbers}

    def summary(self) -> _Row:
        """All of it as plain data."""
        verdict = self.verdict
        return {
            "kind": "proof",
            "task": self.task,
            "metric": next(iter(self.measures)),
            "verdict": verdict.finding,
            "above_constant": [arm.name for arm in self.above_constant],
            "ratio": verdict.arm.ratio,
            "reading": self.reading,
            "notes": list(self.notes),
            "limits": list(_LIMITS),
            "arms": list(self._estimates()),
            "differences": list(self._differences()),
            "data": self._counts(),
            "settings": dict(self.settings),
        }

    def _estimates(self) -> Iterator[_Row]:
        """Every measure of every arm."""
        for name, resampled in self.measures.items():
            for arm in self.answers:
                yield {"arm": arm.title, "ratio": arm.ratio, "metric": name, **resampled.estimate(arm)._asdict()}

    def _differences(self) -> Iterator[_Row]:
        """Every synthetic arm minus each of its controls."""
        for name, resampled in self.measures.items():
            for each in arm_differences(resampled):
                yield {
                    "arm": each.arm.title,
                    "ratio": each.arm.ratio,
                    "control": each.control.title,
                    "metric": name,
                    **each.estimate._asdict(),
                    "level": each.level,
                    "p": each.p,
                }

    def _counts(self) -> dict[str, dict[str, int]]:
        """Cases of each class, by what they are for."""
        real = [case for case in self.dataset.cases if case.origin != "synthetic"]
        return {
            "real, trained on": _by_class(case for case in real if case.split == "train"),
            "synthetic": _by_class(case for case in self.dataset.cases if case.origin == "synthetic"),
            "real, tested on": _by_class(case for case in real if case.split == "test"),
        }


def _drawn_with(case: Case) -> str:
    return f"patient {case.patient}" if case.patient else f"case {case.id}"


def _by_class(cases: Iterable[Case]) -> dict[str, int]:
    """How many of each class, in the order of their names; "all" counts those without one."""
    counts = Counter(case.label or "" for case in cases)
    return {name or "all": counts[name] for name in sorted(counts)}


def _classes(arm: Arm, seed: int | str, confusion: Confusion, classes: Sequence[str]) -> Iterator[_Row]:
    yield _row(arm, seed, "accuracy", "", float(confusion.trace() / confusion.sum()))
    for name, scores in zip(classes, each_class(confusion), strict=True):
        yield _row(arm, seed, "sensitivity", name, *scores.sensitivity[:3])
        yield _row(arm, seed, "specificity", name, *scores.specificity[:3])
        yield _row(arm, seed, "f1", name, scores.f1)
        yield _row(arm, seed, "prevalence", name, scores.prevalence)
        yield _row(arm, seed, "f1_of_always", name, scores.always_f1)


def _row(
    arm: Arm,
    seed: int | str,
    metric: str,
    label: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
) -> _Row:
    return {
        "arm": arm.title,
        "ratio": _ratio(arm),
        "seed": seed,
        "metric": metric,
        "class": label,
        "value": round(value, 6),
        "low": "" if low is None else round(low, 6),
        "high": "" if high is None else round(high, 6),
    }


def _ratio(arm: Arm) -> str:
    return "" if arm.ratio is None else f"{arm.ratio:g}"
