"""Thirty published classifiers, tested on 10,380 images of which 72 % are malignant, read as what they are."""

from pathlib import Path

import pytest

from sfumato.errors import DataError
from sfumato.evaluation.prove.baselines import read_baselines, read_confusions

FILE = Path(__file__).with_name("classifiers30.csv")


def test_no_better_than_always_positive() -> None:
    table = read_baselines(FILE)
    assert table.prevalence == pytest.approx(0.7239, abs=5e-5)
    assert table.always_f1 == pytest.approx(0.8398, abs=5e-5)
    expected = {"Original": 0.5328, "DCGAN": 0.5403, "DCGAN_UPSCALED": 0.5144, "DDPM": 0.5283, "DDPM_UPSCALED": 0.5619}
    assert table.balanced == pytest.approx(expected, abs=5e-5)
    prevalence, by_f1, by_balanced = table.reading
    assert prevalence.startswith("72.4% of the cases are positive: always saying positive has an accuracy of 0.724")
    assert by_f1 == "By F1, all 30 classifiers are no better than always positive (best: 0.836)."
    assert by_balanced.startswith("By balanced accuracy, 8 of 30 classifiers (DDPM - Swin Transformer, ")
    assert by_balanced.endswith(" are no better than always positive.")


def test_thirty_whole_matrices_of_the_same_cases() -> None:
    confusions = read_confusions(FILE)
    assert len(confusions) == 30
    assert {tuple(confusion.sum(1)) for confusion in confusions.values()} == {(2866.0, 7514.0)}


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("Model,TN,FP\nx,1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="FN"):
        read_confusions(tmp_path / "other.csv")
