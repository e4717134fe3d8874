"""The choice of the fewest steps from a curve."""

import json

import pytest

from sfumato.experiment.fewest_steps import Curve, Point


def curve(*values: tuple[int, float, float]) -> Curve:
    points = tuple(Point(steps, steps, {"dice": dice, "ged": energy}) for steps, dice, energy in values)
    return Curve(sampler="ddim", grid="critical", points=points, tolerance={"dice": 0.005, "ged": 0.01}, of="4 cases")


def test_every_metric_has_to_stay_within_its_tolerance():
    assert curve((1, 0.90, 0.30), (2, 0.897, 0.21), (4, 0.90, 0.20), (50, 0.90, 0.195)).steps == 4
    assert curve((1, 0.90, 0.20), (2, 0.90, 0.20), (50, 0.90, 0.20)).steps == 1
    assert curve((1, 0.80, 0.20), (2, 0.894, 0.20), (50, 0.90, 0.20)).steps == 50


def test_a_lucky_point_before_a_bad_one_does_not_count():
    assert curve((1, 0.90, 0.20), (2, 0.85, 0.20), (4, 0.90, 0.20), (50, 0.90, 0.20)).steps == 4


def test_better_than_the_most_steps_is_good_enough():
    assert curve((2, 0.95, 0.10), (50, 0.90, 0.20)).steps == 2


def test_distances_are_better_when_smaller():
    points = tuple(Point(k, k, {"kid": v}) for k, v in [(5, 0.09), (10, 0.03), (50, 0.02)])
    assert Curve(sampler="heun", grid="karras", points=points, tolerance={"kid": 0.011}, of="").steps == 10


def test_survives_json():
    before = curve((1, 0.8, 0.3), (50, 0.9, 0.2))
    assert Curve.from_dict(json.loads(json.dumps(before.to_dict()))) == before
    assert before.to_dict()["steps"] == pytest.approx(50)
