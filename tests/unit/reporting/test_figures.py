"""Figures: what is drawn where, in which colour, and that nothing global is touched."""

import io

import numpy as np
import pytest
from PIL import Image

from sfumato.reporting.diagram import Course, diagram
from sfumato.reporting.figures import (
    FILLS,
    INK,
    REFERENCE,
    animation,
    bars,
    chart,
    curves,
    grid,
    heat,
    overlay,
    panels,
    strip,
    strips,
)

RECORDS = [
    {"kind": "train", "step": 1, "images": 16, "seconds": 0.5, "loss": 1.0, "ce": 0.6, "learning_rate": 1e-4},
    {"kind": "train", "step": 2, "images": 32, "seconds": 1.0, "loss": 0.5, "ce": None, "learning_rate": 2e-4},
    {"kind": "validate", "step": 2, "seconds": 0.1, "dice": 0.7, "note": "words"},
    {"kind": "pause", "step": 2, "loss": 7.0},
]


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_panels_hold_every_term_and_metric_once_and_nothing_else() -> None:
    loss, validation, rate = panels(RECORDS)
    assert (loss.title, validation.title, rate.title) == ("Loss", "Validation", "Learning rate")
    assert list(loss.lines) == ["loss", "ce"] and list(validation.lines) == ["dice"]
    np.testing.assert_array_equal(loss.lines["loss"], [[1, 2], [1.0, 0.5]])
    np.testing.assert_array_equal(loss.lines["ce"], [[1], [0.6]])


def test_curves_are_pictures_even_without_records() -> None:
    assert opened(curves(RECORDS)).format == opened(curves([])).format == "PNG"


def test_the_background_of_a_chart_is_transparent_and_its_ink_as_asked() -> None:
    pixels = np.asarray(opened(chart(panels(RECORDS)[0], ink="#ff0000")).convert("RGBA")).astype(int)
    assert pixels[0, 0, 3] == 0
    assert (pixels == [255, 0, 0, 255]).all(-1).any() and not (pixels == [42, 47, 54, 255]).all(-1).any()
    plain = np.asarray(opened(chart(panels(RECORDS)[0], ink=INK)).convert("RGBA")).astype(int)
    assert (plain == [42, 47, 54, 255]).all(-1).any() and not (plain == [255, 0, 0, 255]).all(-1).any()


def test_a_long_line_is_drawn_with_its_average() -> None:
    noise = np.random.default_rng(0).normal(5, 1, 1000)
    records = [{"kind": "train", "step": step, "loss": float(value)} for step, value in enumerate(noise)]
    pixels = np.asarray(opened(chart(panels(records)[0], ink=INK)).convert("RGBA")).astype(int)
    strong = (abs(pixels - [31, 138, 140, 255]) <= 2).all(-1)
    rows = np.nonzero(strong.any(axis=1))[0]
    assert np.ptp(rows) < 0.5 * pixels.shape[0]


def test_no_figure_stays_in_the_global_state() -> None:
    from matplotlib import _pylab_helpers  # the registry that pyplot would fill

    curves(RECORDS)
    assert not _pylab_helpers.Gcf.figs


@pytest.mark.parametrize("side", [16, 64, 500])
def test_strip_shows_the_pictures_in_order(side: int) -> None:
    images = [np.full((side, side, 1), grey, np.uint8) for grey in (0, 120, 240)]
    row = np.asarray(opened(strip(images, ["t = 1", "t = ½", "t = 0"])).convert("L"))
    height, width = row.shape
    assert [row[height // 3, int((place + 0.5) * width / 3)] for place in range(3)] == [0, 120, 240]
    assert 120 < width / 3 < 260
    under = row[int(height * 0.9) :]
    assert all(part.min() < 100 for part in np.array_split(under, 3, axis=1))


def test_strip_wants_a_label_for_each_picture() -> None:
    with pytest.raises(ValueError, match="zip"):
        strip([np.zeros((8, 8, 1), np.uint8)] * 2, ["one"])


def test_grid_keeps_every_pixel_in_reading_order() -> None:
    images = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)
    sheet = grid(images, 3)
    assert sheet.shape == (4 + 1 + 4, 6 + 1 + 6 + 1 + 6, 3)
    np.testing.assert_array_equal(sheet[:4, :6], images[0])
    np.testing.assert_array_equal(sheet[:4, 14:], images[2])
    np.testing.assert_array_equal(sheet[5:, 7:13], images[4])
    assert (sheet[4] == 255).all() and (sheet[5:, 14:] == 255).all() and (sheet[:, 6] == 255).all()


def disc(radius: int) -> np.ndarray:
    rows, columns = np.indices((40, 40)) - 20
    return (rows**2 + columns**2 < radius**2).astype(np.uint8)


def test_overlay_leaves_the_background_and_outlines_the_prediction_inside() -> None:
    image = np.full((40, 40, 1), 90, np.uint8)
    drawn = overlay(image, disc(10))
    outside = disc(10) == 0
    assert (drawn[outside] == 90).all()
    outline = (drawn == FILLS[0]).all(-1)
    assert outline.any() and not (outline & outside).any() and not outline[20, 20]
    np.testing.assert_array_equal(drawn[20, 20], np.round(0.75 * 90 + 0.25 * np.array(FILLS[0])))


def test_the_border_of_the_image_is_no_outline() -> None:
    left = np.zeros((40, 40), np.uint8)
    left[:, :20] = 1
    outline = (overlay(np.zeros((40, 40, 1), np.uint8), left) == FILLS[0]).all(-1)
    np.testing.assert_array_equal(np.nonzero(outline.any(axis=0))[0], [19])


def test_a_perfect_prediction_hides_no_outline() -> None:
    drawn = overlay(np.zeros((40, 40, 3), np.uint8), disc(10), reference=disc(10))
    assert (drawn == FILLS[0]).all(-1).sum() > 40 and (drawn == REFERENCE).all(-1).sum() > 40


def test_classes_have_their_own_colours_and_large_images_broader_outlines() -> None:
    two = disc(10) * 2
    assert (overlay(np.zeros((40, 40, 1), np.uint8), two) == FILLS[1]).all(-1).any()
    large = np.kron(disc(10), np.ones((20, 20), np.uint8))
    row = (overlay(np.zeros((800, 800, 1), np.uint8), large)[400] == FILLS[0]).all(-1)
    assert row.sum() == 6


def test_heat_grows_lighter() -> None:
    colours = heat(np.linspace(0, 1, 64)[None]).astype(float)[0]
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert colours.shape == (64, 3) and (np.diff(lightness) > 0).all()


def test_rows_of_a_sheet_have_their_names_at_the_left() -> None:
    pictures = [np.full((8, 8, 1), value, np.uint8) for value in (0, 100, 200)]
    plain = Image.open(io.BytesIO(strip(pictures, ["a", "b", "c"])))
    sheet = Image.open(io.BytesIO(strips({"one": pictures, "another": pictures[::-1]}, ["a", "b", "c"])))
    assert sheet.width > plain.width and sheet.height > 1.8 * plain.height
    with pytest.raises(ValueError, match="zip"):
        strips({"one": pictures, "another": pictures[:2]}, ["a", "b", "c"])


def test_names_are_drawn_letter_by_letter() -> None:
    """What matplotlib and Pillow would take for a formula, for several lines, or cannot encode."""
    odd = ("$x^$", "a\nb", "caf\udce9", "\x1b[31m")
    pictures = [np.full((8, 8, 1), 100, np.uint8)] * len(odd)
    records = [{"kind": "validate", "step": 1, "seconds": 1.0, **dict.fromkeys(odd, 0.5)}]
    course = Course("$x^$", np.arange(3.0), np.arange(3.0))
    drawn = (
        strips(dict.fromkeys(odd, pictures), odd),
        curves(records),
        bars("$x^$", dict.fromkeys(odd, 1.0), unit="images", ink=INK),
        diagram("$x^$", [course], across="a", up="b", ink=INK),
    )
    assert all(Image.open(io.BytesIO(png)).width > 20 for png in drawn)


def test_an_animation_holds_its_frames_and_their_order() -> None:
    rows = [[np.full((8, 8, 1), value, np.uint8)] * 2 for value in (0, 100, 200)]
    with Image.open(io.BytesIO(animation(rows, hold=(0, -1)))) as trajectory:
        assert trajectory.n_frames == 3 and trajectory.info["loop"] == 0  # type: ignore[attr-defined]
        seen = []
        for number in range(3):
            trajectory.seek(number)
            seen.append((trajectory.convert("L").getpixel((5, 5)), trajectory.info["duration"]))
    assert seen == [(0, 1200), (100, 200), (200, 1200)]
