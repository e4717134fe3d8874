"""The error to expect: filled and empty masks, volumes, honest correlation."""

import json

import numpy as np
import pytest

from sfumato import slabs
from sfumato.evaluation.review import (
    FEWEST_CASES,
    ErrorRegression,
    FittedLine,
    UncertaintyFeatures,
    _Cases,
    _residuals,
    calibrate,
    uncertainty_features,
)
from sfumato.header import Measured

SIZE = 16


def ensemble(*foregrounds: float, low: float = 0.02, classes: int = 2) -> np.ndarray:
    """Members that give a square these probabilities of class 1, and all else `low`."""
    members = np.zeros((len(foregrounds), classes, SIZE, SIZE))
    members[:, 1] = low
    members[:, 1, 4:12, 4:12] = np.array(foregrounds)[:, None, None]
    members[:, 0] = 1 - members[:, 1:].sum(1)
    return members


def seen(
    own_error: float, *, filled: bool = True, uncertainty: float = 0.5, size: float = 10.0, **more: float
) -> UncertaintyFeatures:
    return UncertaintyFeatures(own_error=own_error, uncertainty=uncertainty, filled=filled, size=size, **more)


def test_the_own_error_is_what_the_model_expects_of_one_minus_dice() -> None:
    found = uncertainty_features(ensemble(0.9, 0.7, low=0.0))
    assert found.own_error == pytest.approx(1 - 2 * 64 * 0.8 / (64 + 64 * 0.8))
    assert found.size == pytest.approx(64 + 64 * 0.8) and found.filled
    assert uncertainty_features(ensemble(1.0, low=0.0)).own_error == pytest.approx(0)


def test_an_empty_mask_has_own_error_one_and_the_doubt_of_its_likeliest_pixel() -> None:
    nearly, never = uncertainty_features(ensemble(0.45)), uncertainty_features(ensemble(0.03))
    assert nearly.own_error == never.own_error == 1 and not nearly.filled
    assert nearly.uncertainty > 2 * never.uncertainty
    assert uncertainty_features(ensemble(0.0, low=0.0)) == UncertaintyFeatures(1.0, 0.0, False, 0.0)


def test_whole_readings_differ_in_overlap_size_and_presence() -> None:
    found = uncertainty_features(ensemble(0.9, 0.9, 0.1, 0.1, low=0.0))
    assert found.disagreement == pytest.approx(4 / 6), "of six pairs four have nothing in common"
    assert found.presence_variance == pytest.approx(1 / 4)
    assert found.size_spread == pytest.approx(64 / 32)
    alone = uncertainty_features(ensemble(0.6, low=0.0))
    assert alone.disagreement == 0 and alone.presence_variance == pytest.approx(0.6 * 0.4)
    assert alone.size_spread == pytest.approx(64 / (0.6 * 64)), "a single map stands for nested masks"


def test_a_class_that_is_nowhere_changes_nothing() -> None:
    assert uncertainty_features(ensemble(0.8, classes=3)).own_error == pytest.approx(
        uncertainty_features(ensemble(0.8)).own_error
    )


def planted(
    count: int = 40, *, empty: int = 20, seed: int = 0
) -> tuple[list[UncertaintyFeatures], np.ndarray, list[str]]:
    """Filled masks err by 0.1 + 0.5 own error, empty ones by 0.2 + 0.6 uncertainty."""
    rng = np.random.default_rng(seed)
    filled = [seen(value) for value in rng.random(count - empty)]
    blank = [seen(1.0, filled=False, uncertainty=value) for value in rng.random(empty)]
    errors = [0.1 + 0.5 * each.own_error for each in filled] + [0.2 + 0.6 * each.uncertainty for each in blank]
    return filled + blank, np.array(errors), [str(k // 2) for k in range(count)]


def test_both_kinds_have_their_line() -> None:
    found = calibrate(*planted())
    np.testing.assert_allclose([*found.filled, *found.empty], [0.1, 0.5, 0.2, 0.6], atol=1e-5)
    assert found.empty_by == "uncertainty" and found.cases == 40 and found.spearman == pytest.approx(1)
    assert found.expected_error([seen(0.4)]) == pytest.approx(0.3, abs=1e-5)
    missed, absent = (seen(1.0, filled=False, uncertainty=value) for value in (0.9, 0.1))
    assert found.expected_error([missed]) == pytest.approx(0.74, abs=1e-5)
    assert found.expected_error([missed]) > found.expected_error([absent])


def test_a_missed_lesion_comes_first_where_the_model_left_no_validation_case_empty() -> None:
    found = calibrate(*planted(30, empty=FEWEST_CASES - 10))
    assert found.empty_by == "own_error"
    certain = seen(1.0, filled=False, uncertainty=0.0)
    assert found.expected_error([certain]) > max(found.expected_error([seen(value)]) for value in (0.0, 0.5, 0.99))


def test_more_doubt_is_never_less_error() -> None:
    signs_, errors, patients = planted()
    found = calibrate(signs_, 1 - errors, patients)
    assert found.filled.slope == found.empty.slope == 0
    assert found.filled.offset == pytest.approx(np.mean(1 - errors[:20]), abs=1e-5)


def test_the_correlation_is_that_of_patients_left_out() -> None:
    rng = np.random.default_rng(1)
    cases = [seen(value) for value in rng.random(12)]
    noise = rng.random(12)
    honest = calibrate(cases, noise, [str(k) for k in range(12)]).spearman
    assert honest is not None and honest < 0.35, "lines that were fitted to noise say nothing about other noise"
    one = calibrate(cases, noise, ["the same"] * 12)
    assert one.spearman is None, "a single patient leaves nobody to learn from"


def test_errors_stay_between_zero_and_one() -> None:
    steep = ErrorRegression(
        filled=FittedLine(-1.0, 3.0), empty=FittedLine(2.0, 0.0), empty_by="uncertainty", cases=10, spearman=None
    )  # fmt: skip
    assert [steep.expected_error([seen(value)]) for value in (0.0, 1.0)] == [0, 1]
    assert steep.expected_error([seen(1.0, filled=False)]) == 1


def test_the_planes_of_a_volume_count_by_their_size() -> None:
    plain = ErrorRegression(
        filled=FittedLine(0, 1), empty=FittedLine(0, 1), empty_by="own_error", cases=10, spearman=None
    )
    planes = [seen(0.1, size=90), seen(0.6, size=10), seen(1.0, filled=False, size=0)]
    assert plain.expected_error(planes) == pytest.approx(0.9 * 0.1 + 0.1 * 0.6)
    assert plain.expected_error([seen(1.0, filled=False, size=0)] * 2) == 1, "an empty volume hides nothing"


def test_the_identity_of_volumes() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 8, 8)) > 0.6
    both, sizes = (a & b).sum((1, 2)), a.sum((1, 2)) + b.sum((1, 2))
    plain = ErrorRegression(
        filled=FittedLine(0, 1), empty=FittedLine(0, 1), empty_by="own_error", cases=10, spearman=None
    )
    planes = [seen(1 - 2 * both[k] / sizes[k], size=float(sizes[k])) for k in range(5)]
    assert plain.expected_error(planes) == pytest.approx(1 - 2 * both.sum() / sizes.sum())


@pytest.mark.parametrize("feature", ["disagreement", "size_spread", "presence_variance"])
@pytest.mark.parametrize("filled", [True, False])
def test_the_validation_cases_choose_the_feature_that_tells_their_errors(feature: str, filled: bool) -> None:
    rng = np.random.default_rng(3)
    values, usual = rng.random((2, 40))
    cases = [
        seen(one if filled else 1.0, filled=filled, uncertainty=one, **{feature: value})
        for one, value in zip(usual, values, strict=True)
    ]
    found = calibrate(cases, 0.1 + 0.6 * values, [str(k // 2) for k in range(40)])
    line = found.filled if filled else found.empty
    assert (found.filled_by if filled else found.empty_by) == feature
    kept = Measured.model_validate({"review": {"this way": found.to_dict()}}).review
    assert kept is not None and ErrorRegression.from_dict(kept["this way"].model_dump()) == found, "read from its file"
    np.testing.assert_allclose(line, [0.1, 0.6], atol=1e-5)
    assert found.spearman == pytest.approx(1)
    assert found.expected_error([seen(0.5, filled=filled, **{feature: 0.5})]) == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize(("tells", "most"), [(0.0, 5), (0.3, 2)])
def test_the_usual_feature_stays_unless_another_is_better_beyond_doubt(tells: float, most: int) -> None:
    """Of 30 sets of cases: nothing tells their errors, or the usual one does and others are the same with noise."""
    others = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        usual, noise, another, third, error = rng.random((5, 40))
        rival = usual + 0.3 * noise if tells else noise
        cases = [
            seen(own, uncertainty=one, disagreement=two, size_spread=three)
            for own, one, two, three in zip(usual, another, rival, third, strict=True)
        ]
        found = calibrate(cases, 0.3 + 0.3 * error + tells * usual, [str(k) for k in range(40)])
        others += found.filled_by != "own_error"
    assert others <= most


def test_a_feature_that_says_nothing_is_not_chosen() -> None:
    """Where more own error is less error a constant expects it best, but gives no order."""
    values = np.random.default_rng(0).random(40)
    found = calibrate([seen(value) for value in values], 0.8 - 0.3 * values, [str(k) for k in range(40)])
    assert found.filled_by == "own_error" and found.filled.slope == 0


def test_a_feature_is_judged_by_the_lines_of_other_patients() -> None:
    feature, errors = np.random.default_rng(0).random((2, 12))
    errors = 0.3 * errors + 0.5 * feature
    whose = np.repeat(["a", "b", "c"], 4)
    cases = _Cases.of([seen(0.5, disagreement=value) for value in feature], errors, whose.tolist())
    found = _residuals(cases.features["disagreement"], cases)
    for patient in "abc":
        slope, offset = np.polyfit(feature[whose != patient], errors[whose != patient], 1)
        own = whose == patient
        np.testing.assert_allclose(found[own], (errors[own] - offset - slope * feature[own]) ** 2, atol=1e-5)


def test_an_empty_mask_comes_first_by_whatever_filled_ones_are_ordered() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(40)
    cases = [seen(0.5, disagreement=value) for value in values]
    found = calibrate(cases, 0.9 * values, [str(k) for k in range(40)])
    assert (found.filled_by, found.empty_by) == ("disagreement", "own_error")
    empty = found.expected_error([seen(1.0, filled=False, uncertainty=0.0)])
    assert empty >= max(found.expected_error([case]) for case in cases)


def test_survives_json() -> None:
    found = calibrate(*planted())
    assert ErrorRegression.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_what_was_measured_before_features_were_chosen_is_still_known() -> None:
    """As 0.1 wrote it."""
    raw = {"filled": [0.1, 0.5], "empty": [0.2, 0.6], "empty_by": "uncertainty", "cases": 40, "spearman": 0.4}
    found = ErrorRegression.from_dict(raw)
    assert found.expected_error([seen(0.4, disagreement=0.9)]) == pytest.approx(0.3)
    assert found.expected_error([seen(1.0, filled=False, uncertainty=0.5)]) == pytest.approx(0.5)


def test_large_volumes_are_said_of_some_planes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    members = np.random.default_rng(0).dirichlet([2, 1, 1], (3, 10, 12, 9)).transpose(0, 4, 1, 2, 3).astype(np.float32)
    whole = uncertainty_features(members)
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 300)
    parts = uncertainty_features(members)
    assert parts.filled == whole.filled
    # sums of 1,080 shares in another order, and the region's shares as float32
    np.testing.assert_allclose(parts[:2], whole[:2], rtol=1e-6)
    assert parts.size == pytest.approx(whole.size, rel=1e-12)
    assert parts[4:] == pytest.approx(whole[4:], rel=1e-12)
