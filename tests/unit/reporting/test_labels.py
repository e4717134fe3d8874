"""Names where there is little room: short, and still different."""

import random

from sfumato.metrics.table import POOLED
from sfumato.reporting.labels import cut_to_width, shortened_names
from sfumato.reporting.sections.images import BARS, _bars


def test_names_that_fit_stay() -> None:
    assert shortened_names(["a", "bb"], 8) == ["a", "bb"]


def test_names_are_cut_where_they_differ() -> None:
    assert shortened_names(["melanoma in situ", "naevus"], 10) == ["melanoma \u2026", "naevus"]
    assert shortened_names(["melanoma left", "melanoma right"], 10) == ["mela\u2026 left", "mela\u2026right"]
    alike = ["x" * 30 + letter + "y" * 30 for letter in "ab"]
    assert shortened_names(alike, 10) == ["1 xxxxxxx\u2026", "2 xxxxxxx\u2026"]


def test_shortened_names_are_short_and_different() -> None:
    draw = random.Random(0)
    for _ in range(200):
        names = list({"".join(draw.choices("ab", k=draw.randint(1, 30))) for _ in range(12)})
        short = shortened_names(names, 12)
        assert len(set(short)) == len(names) and max(map(len, short)) <= 12


def test_a_label_is_cut_to_its_room() -> None:
    assert cut_to_width("grade 10", 100, len) == "grade 10"
    assert cut_to_width("grade 10", 5, len) == "grad\u2026" and cut_to_width("grade 10", 0, len) == ""


def test_no_bar_is_lost_to_a_class_of_the_same_beginning() -> None:
    classes = [POOLED, "all", "squamous cell carcinoma left", "squamous cell carcinoma right"]
    rows = [{"space": "own", "class": name, "z": str(place)} for place, name in enumerate(classes)]
    assert list(_bars(rows).values()) == [0, 1, 2, 3]
    many = rows + [{"space": "own", "class": f"class {place}", "z": "1"} for place in range(BARS)]
    assert list(_bars(many)) == ["own, all"]
