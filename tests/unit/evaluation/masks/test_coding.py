"""What predicted values mean: as in the reference, as indices, or as white; anything else is refused."""

import pytest

from sfumato.data.mask import MaskRule
from sfumato.errors import DataError
from sfumato.evaluation.masks.label_encoding import decide_coding

WHITE = MaskRule((0, 255), None, "0/255")
INDEX = MaskRule((0, 1), None, "indices")
GREYS = MaskRule((0, 128, 255), None, "greys")
SOFT = MaskRule((), 128, "JPEG")
NAMED = MaskRule((0, 1, 2), None, "named", ignore=3)


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        ({0, 255}, WHITE, (0, 255)),
        ({0}, WHITE, (0, 255)),
        ({0, 1}, WHITE, (0, 1)),
        ({1}, WHITE, (0, 1)),
        ({0, 255}, INDEX, (0, 255)),
        ({0, 255}, GREYS, (0, 128, 255)),
        ({0, 1, 2}, GREYS, (0, 1, 2)),
        ({0, 1}, SOFT, (0, 1)),
        ({0, 255}, SOFT, (0, 255)),
        ({0, 7, 200, 255}, SOFT, ()),
        ({0, 2}, NAMED, (0, 1, 2)),
    ],
)
def test_meaning(values: set[int], rule: MaskRule, expected: tuple[int, ...]) -> None:
    coding = decide_coding(values, rule, name="model")
    assert coding.rule.values == expected
    assert bool(coding.note) == (rule.values not in ((), expected) or (rule is SOFT and values == {0, 1}))


def test_predictions_cannot_be_silent() -> None:
    assert decide_coding({0, 1}, NAMED, name="model").rule.ignore is None


@pytest.mark.parametrize(("values", "rule"), [({0, 3}, NAMED), ({0, 1, 255}, INDEX), ({0, 128}, WHITE), ({9}, GREYS)])
def test_strange_values_are_refused(values: set[int], rule: MaskRule) -> None:
    with pytest.raises(DataError, match="SCORE-002"):
        decide_coding(values, rule, name="model")
