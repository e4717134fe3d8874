"""What each arm trains on: counts, class mixes, and draws that grow with the ratio."""

from collections import Counter

import pytest

from sfumato.errors import DataError
from sfumato.evaluation.prove.arms import Arm, DataPool, TrainingUnit

STOCK = DataPool(real=["a"] * 6 + ["b"] * 2, synthetic=["a", "b"] * 10)
FILLED = DataPool(real=["a"] * 6 + ["b"] * 2, synthetic=["a", "b"] * 10, balance=True)


def classes(stock: DataPool, unit: TrainingUnit) -> Counter[str]:
    every = [*stock.real, *stock.synthetic]
    return Counter(every[row] for row in stock.rows(unit))


def test_all_arms_at_all_ratios() -> None:
    assert [arm.name for arm in STOCK.arms([1, 0.5])] == [
        "real", "real + class weights", "real + duplicates, 0.5 x", "real + duplicates, 1 x",
        "real + synthetic, 0.5 x", "real + synthetic, 1 x", "synthetic alone",
    ]  # fmt: skip


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.5])
def test_duplicates_have_the_number_and_mix_of_the_synthetic_arm(ratio: float) -> None:
    for seed in range(3):
        synthetic, duplicates = (TrainingUnit(Arm(kind, ratio), seed) for kind in ("synthetic", "duplicates"))
        assert classes(STOCK, synthetic) == classes(STOCK, duplicates)
        assert len(STOCK.rows(synthetic)) == 8 + round(8 * ratio)
        assert max(STOCK.rows(duplicates)) < 8 and min(STOCK.rows(synthetic)[8:]) >= 8
        assert len(set(STOCK.rows(synthetic))) == len(STOCK.rows(synthetic))


def test_duplicates_are_spread_evenly() -> None:
    often = Counter(STOCK.rows(TrainingUnit(Arm("duplicates", 2.5), 0)))
    for members in (range(6), range(6, 8)):
        counts = [often[row] for row in members]
        assert max(counts) - min(counts) <= 1


def test_a_larger_ratio_keeps_what_a_smaller_one_drew_and_seeds_differ() -> None:
    small, large, other = (
        STOCK.rows(TrainingUnit(Arm("synthetic", r), s))[8:] for r, s in ((0.5, 3), (1.0, 3), (0.5, 4))
    )
    assert large[: len(small)] == small and set(small) != set(other)


def test_classes_are_filled_up_and_no_further() -> None:
    assert FILLED.arms([1.0])[2:4] == [Arm("duplicates"), Arm("synthetic")]
    for kind in ("duplicates", "synthetic"):
        assert classes(FILLED, TrainingUnit(Arm(kind), 0)) == {"a": 6, "b": 6}


def test_what_cannot_be_done_is_told() -> None:
    assert (
        "lacks 4: it is not filled up"
        in DataPool(real=FILLED.real, synthetic=["b"], balance=True).notes([1], classify=True)[0]
    )
    few = DataPool(real=["a", "b"] * 5, synthetic=["a"] * 5)
    assert [arm.ratio for arm in few.arms([0.2, 1, 2]) if arm.kind == "synthetic"] == [0.2, 0.5]
    notes = few.notes([0.2, 1, 2], classify=True)
    assert [note[:37] for note in notes[:2]] == [
        "SAMPLES has 5 images: ratio 1 wants 1",
        "SAMPLES has 5 images: ratio 2 wants 2",
    ]
    assert "same size" in notes[2] and "lack b" in notes[3]
    assert {"weights", "alone"}.isdisjoint(arm.kind for arm in few.arms([1]))
    assert (
        few.rows(TrainingUnit(Arm("synthetic", 0.5), 0))[10:]
        and len(few.rows(TrainingUnit(Arm("synthetic", 0.5), 0))) == 15
    )


def test_a_class_without_real_images_cannot_be_duplicated() -> None:
    with pytest.raises(DataError, match="class 'c'"):
        DataPool(real=["a", "b"], synthetic=["c", "c"]).rows(TrainingUnit(Arm("duplicates", 1.0), 0))


def test_weights_give_each_class_the_same_sum() -> None:
    first, second, absent = STOCK.class_weights(["a", "b", "c"])
    assert (6 * first, 2 * second, absent) == (4.0, 4.0, 0.0)
