"""The table of numbers: complete, and true about where each of them is computed."""

from importlib import import_module

import pytest

from sfumato.evaluation.audit.measure import AuditCase
from sfumato.evaluation.masks.table import LISTED
from sfumato.metrics.calibration import Calibration
from sfumato.metrics.coverage import Coverage
from sfumato.metrics.masks import METRICS
from sfumato.metrics.table import (
    GROUPS,
    METRIC_TABLE,
    SCORES,
    SUBJECTS,
    heading,
    is_better_lower,
    metrics_of,
    spelt_out,
)
from sfumato.reporting.meaning import meaning, titled


@pytest.mark.parametrize("where", sorted({metric.where for metric in METRIC_TABLE.values()}))
def test_what_computes_a_number_is_there(where: str) -> None:
    module, _, name = f"sfumato.{where}".rpartition(".")
    assert hasattr(import_module(module), name) or import_module(f"{module}.{name}")


def test_every_number_has_one_subject_and_a_sentence() -> None:
    assert sorted(name for subject in SUBJECTS for name in metrics_of(subject)) == sorted(METRIC_TABLE)
    for name, metric in METRIC_TABLE.items():
        assert (metric.meaning[0].isupper() or metric.meaning[0].isdigit()) and metric.meaning.endswith("."), name


def test_scores_of_masks_are_those_with_a_function() -> None:
    assert tuple(SCORES) == METRICS == metrics_of("masks")


def test_what_has_a_group_is_shown_in_it_once() -> None:
    shown = [name for names in GROUPS.values() for name in names]
    assert sorted(shown) == sorted(name for name, metric in METRIC_TABLE.items() if metric.group)
    assert all(METRIC_TABLE[name].group for name in (*metrics_of("masks"), *metrics_of("case")))


def test_what_is_written_under_a_name_is_known_by_it() -> None:
    written = {*Calibration._fields, *Coverage._fields, *LISTED, *AuditCase._fields} - {"members"}
    assert written - METRIC_TABLE.keys() == set()


def test_names_titles_and_units() -> None:
    pixels = {"length": "px", "volume": "px", "tolerance": 2.0}
    assert titled("hd95", pixels) == "HD95 (px)" and titled("nsd", pixels) == "NSD at 2 px"
    assert titled("volume_difference", {"length": "mm", "volume": "mm³"}) == "volume difference (mm³)"
    assert titled("hd95", {}) == "HD95" and titled("nsd", {}) == "NSD"
    assert titled("of_a_stranger", pixels) == heading("of_a_stranger") == "of a stranger"
    assert (heading("KID"), spelt_out("kid"), spelt_out("dice")) == ("KID", "kernel distance", "Dice")
    assert meaning("of_a_stranger") == "" and meaning("Dice") == METRIC_TABLE["dice"].meaning
    assert is_better_lower("hd95") and not is_better_lower("dice")
