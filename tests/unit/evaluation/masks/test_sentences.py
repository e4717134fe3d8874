"""The reading claims no more than the intervals do."""

from typing import Any

import pytest

from sfumato.evaluation.masks.sentences import limits, mask_sentences


def interval(mean: float, low: float, high: float) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "level": 0.95, "cases": 20}


def summary(**more: Any) -> dict[str, Any]:
    arm = {"dice": interval(0.7, 0.6, 0.8), "review": None, "per_class": {}, "members": 1}
    return {
        "cases": 40, "splits": ["test"], "patients": None, "readers_own": None, "differences": {},
        "arms": {"model": arm}, "empty": "one", "length": "px", "tolerance": 1.0, "left_out": {"model": 0}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "word"),
    [((0.01, -0.02, 0.04), "cannot be told apart"), ((0.05, 0.01, 0.09), "better"), ((-0.05, -0.09, -0.01), "worse")],
)
def test_a_difference_is_one_only_if_its_interval_says_so(gap: tuple[float, float, float], word: str) -> None:
    told = summary(differences={"twin": {"dice": interval(*gap)}})
    assert word in mask_sentences(told)[1]


def test_a_difference_is_said_once() -> None:
    """Worse by 0.050: the word has the sign."""
    told = summary(differences={"twin": {"dice": interval(-0.05, -0.09, -0.01)}})
    assert mask_sentences(told)[1].endswith(
        "worse than twin in Dice on the same cases, by 0.050 (95 % interval 0.010 to 0.090)."
    )


@pytest.mark.parametrize(
    ("readers", "words"),
    [
        ((0.75, 0.75, 0.75), "cannot be told apart"),
        ((0.9, 0.85, 0.95), "less than the readers"),
        ((0.5, 0.4, 0.55), "more than the readers"),
        ((0.9, 0.75, 0.95), "cannot be told apart"),  # the readers' own mean is not known well enough
        ((0.5, 0.4, 0.65), "cannot be told apart"),
    ],
)
def test_the_model_beside_the_readers(readers: tuple[float, float, float], words: str) -> None:
    assert words in mask_sentences(summary(readers_own={"dice": interval(*readers)}))[1]


def test_one_is_told_as_one() -> None:
    told = summary(cases=1, patients=1)
    told["arms"]["model"]["per_class"] = {
        "lesion": {
            "presence_sensitivity": interval(0, 0, 0.8), "presence_specificity": None, "with_reference": 1,
            "readings": 1, "missed": 1, "false_alarms": 0, "both_empty": 0, "penalised": 1,
        }
    }  # fmt: skip
    told["arms"]["model"]["hd95"] = interval(9, 9, 9)
    sentences = " ".join([*mask_sentences(told), *limits(told)])
    for words in (
        "1 case of 1 patient.",
        "Of 1 reference mask that has the object",
        "1 was missed",
        "In 1 comparison ",
    ):
        assert words in sentences


@pytest.mark.parametrize(
    ("found", "bounds", "words"),
    [(0.5, [0.4, 0.6], "more than the 30 %"), (0.35, [0.2, 0.5], "not surely more"), (0.1, [0.0, 0.2], "less than")],
)
def test_review_is_praised_only_where_it_surely_helps(found: float, bounds: list[float], words: str) -> None:
    review = {"found": {"0.3": found}, "found_best": {"0.3": 0.7}, "found_interval": {"0.3": bounds}}
    told = summary()
    told["arms"]["model"]["review"] = review
    assert words in mask_sentences(told)[-1]


@pytest.mark.parametrize(
    ("ends", "words"), [([0.02, 0.2], "(less)"), ([-0.1, 0.2], "(no difference shown)"), ([-0.2, -0.02], "(more)")]
)
def test_other_orders_are_less_or_more_only_where_the_interval_says_so(ends: list[float], words: str) -> None:
    other = {"found": {"0.3": 0.4}, "found_difference": {"0.3": ends}}
    orders = {"uncertainty": other, "deterministic twin": other}
    review = {"found": {"0.3": 0.5}, "found_best": {"0.3": 0.7}, "found_interval": {"0.3": [0.4, 0.6]}}
    told = summary()
    told["arms"]["model"]["review"] = {**review, "other_orders": orders}
    said = mask_sentences(told)[-1]
    assert f"find 40% by uncertainty alone {words}, 40% by the order of deterministic twin {words}." in said


def test_few_or_unknown_patients_are_a_limit() -> None:
    assert "Only 3 patients" in limits(summary(patients=3))[0]
    assert "not known" in limits(summary())[0]
    assert not limits(summary(patients=30))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cases": 29}, "29 cases only"),
        ({"splits": ["test", "train"]}, "Some cases are from the training split"),
        ({"splits": ["validation"]}, "no test cases were held out"),
        ({"left_out": {"model": 2}}, "model: 2 cases of other splits than test not predicted"),
    ],
)
def test_limits_are_said_without_being_asked(more: dict[str, Any], words: str) -> None:
    (said,) = limits(summary(**{"patients": 30, **more}))
    assert words in said


def beside_readers(coverage: tuple[float, float, float] = (0.85, 0.8, 0.9), **gaps: Any) -> dict[str, Any]:
    """A summary of two ensembles beside four readers; `gaps` are intervals of differences."""
    told = summary(readers_own={"dice": None, "ged_v": interval(0.5, 0.4, 0.6)}, readers=4)
    numbers = {name: interval(0.3, 0.2, 0.4) for name in ("ged_v", "ged_u", "ged_v_floor")}
    for level in (50, 80, 95):
        numbers[f"reader_coverage_{level}"] = interval(*coverage)
        numbers[f"reader_coverage_{level}_exact"] = interval(0.882, 0.882, 0.882)
    told["arms"] = {name: {**told["arms"]["model"], **numbers, "members": 16} for name in ("model", "other")}
    found = {"dice": None, **{name: interval(*ends) for name, ends in gaps.items()}}
    return {**told, "differences": {"other": found}}


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        ((0.85, 0.8, 0.9), "not told apart from it at 80 %"),
        ((0.7, 0.6, 0.8), "too few, the members vary less"),
        ((0.95, 0.9, 1.0), "too many, the members vary more"),
    ],
)
def test_coverage_is_judged_by_what_an_exact_sampler_reaches(coverage: tuple[float, float, float], words: str) -> None:
    """0.85 is more than the 80 % that the level says, and still not too many: 16 members reach 0.882."""
    (told,) = [sentence for sentence in mask_sentences(beside_readers(coverage)) if "central intervals" in sentence]
    assert words in told and "with 16 members an exact sampler's would hold 88%, 88% and 88%" in told


def test_a_difference_beside_readers_claims_no_more_than_its_interval() -> None:
    gaps = {
        "ged_u": (-0.05, -0.09, -0.01), "ged_v": (-0.05, -0.09, 0.01), "hm_iou": (-0.02, -0.03, -0.01),
        "reader_coverage_80": (0.1, 0.05, 0.15),
    }  # fmt: skip
    (told,) = [sentence for sentence in mask_sentences(beside_readers(**gaps)) if "beside the readers, on" in sentence]
    assert "GED² (U) -0.050 (-0.090 to -0.010; better)" in told
    assert "GED² (V) -0.050 (-0.090 to +0.010; not told apart)" in told
    assert "HM-IoU -0.020 (-0.030 to -0.010; worse)" in told
    assert "reader coverage 80 % +0.100 (+0.050 to +0.150; more)" in told and "over cases" in told


def test_members_and_readers_are_said_with_the_distance() -> None:
    told = " ".join(mask_sentences(beside_readers()))
    assert "squared energy distance 0.300 with 16 members beside 4 readers" in told
