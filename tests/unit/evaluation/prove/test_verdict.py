"""The verdict: better than every control, worse than every one, or no evidence."""

import numpy as np

from sfumato.evaluation.prove.arms import Arm
from sfumato.evaluation.prove.statistics import Resampled
from sfumato.evaluation.prove.verdict import Verdict, decide_verdict


def arms(**scores: float) -> Resampled:
    """Scores by kind and ratio (`synthetic_2`), each with draws of a small spread that all share nothing of."""
    rng = np.random.default_rng(0)
    named = {
        Arm(kind, float(ratio) if ratio else None): value  # type: ignore[arg-type]
        for (kind, _, ratio), value in ((name.partition("_"), value) for name, value in scores.items())
    }
    return Resampled(
        {arm: np.full(3, value) for arm, value in named.items()},
        {arm: value + rng.normal(0, 0.01, 2000) for arm, value in named.items()},
    )


def verdict(**scores: float) -> Verdict:
    return decide_verdict({"auroc": arms(**scores)})


def test_helps_only_above_every_control() -> None:
    assert verdict(real=0.7, weights=0.7, duplicates_1=0.7, synthetic_1=0.9).finding == "helps"
    for control in ("real", "weights", "duplicates_1"):
        scores = {"real": 0.7, "weights": 0.7, "duplicates_1": 0.7, "synthetic_1": 0.9, control: 0.89}
        found = verdict(**scores)
        assert found.finding == "no evidence" and found.reading[0].startswith("No evidence of benefit: the AUROC of")


def test_harms_only_below_every_control() -> None:
    assert verdict(real=0.9, duplicates_1=0.9, synthetic_1=0.7).finding == "harms"
    assert verdict(real=0.9, duplicates_1=0.7, synthetic_1=0.7).finding == "no evidence"
    better = verdict(real=0.9, duplicates_1=0.7, synthetic_1=0.7).reading[0]
    assert better.endswith("so that control is better.")
    assert "is better" not in verdict(real=0.7, duplicates_1=0.7, synthetic_1=0.7).reading[0]


def test_the_answer_names_the_best_control_and_the_difference() -> None:
    first = verdict(real=0.7, weights=0.75, duplicates_1=0.72, synthetic_1=0.9).reading[0]
    assert first.startswith("The synthetic images help: the AUROC of real + synthetic, 1 x is 0.900, that of the best")
    assert "(real + class weights) 0.750; the difference is +0.150 [+" in first


def test_each_ratio_has_its_own_duplicates_and_the_best_that_helps_is_told() -> None:
    found = verdict(real=0.7, duplicates_1=0.7, duplicates_2=0.95, synthetic_1=0.8, synthetic_2=0.9)
    assert found.finding == "helps" and found.arm == Arm("synthetic", 1.0)
    assert "(1 x: helps, 2 x: no evidence)" in found.reading[1] and "97.5%" in found.reading[1]


def test_harm_at_one_ratio_is_not_hidden_behind_no_evidence_at_another() -> None:
    found = verdict(real=0.9, duplicates_1=0.9, duplicates_2=0.9, synthetic_1=0.9, synthetic_2=0.7)
    assert found.finding == "harms" and found.arm == Arm("synthetic", 2.0)


def test_a_second_measure_is_told_and_does_not_decide() -> None:
    sure, unsure = (arms(real=0.7, duplicates_1=0.7, synthetic_1=value, alone=0.6) for value in (0.9, 0.7))
    found = decide_verdict({"auroc": unsure, "balanced_accuracy": sure})
    assert found.finding == "no evidence"
    assert found.reading[1].startswith("The balanced accuracy does not agree: helps (against real")
    assert found.reading[2] == "Trained on synthetic images alone, the AUROC on real images is 0.600 (real: 0.700)."
    worse, mixed = (arms(real=real, duplicates_1=0.9, synthetic_1=0.7) for real in (0.9, 0.7))
    told = decide_verdict({"auroc": worse, "balanced_accuracy": mixed}).reading[1]
    assert told.startswith("The balanced accuracy does not agree: no evidence") and "that control is better)" in told
