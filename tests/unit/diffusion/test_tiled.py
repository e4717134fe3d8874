"""The laws of a denoiser of canvases: what windows must not change."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.process import Condition, Denoise
from sfumato.diffusion.tiled import Tiled, Windows, starts

CANVASES = [((64, 64), (32, 32)), ((50, 71), (32, 16)), ((9, 40), (32, 32)), ((20, 33, 17), (16, 16, 16))]


def constant(x_t: Tensor, t: float, condition: Condition) -> Tensor:
    return torch.full_like(x_t, 0.3)


def pixelwise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
    """Each pixel by itself: windows must change nothing."""
    assert condition.image is not None
    return (x_t * t).sin() + condition.image[:, :1]


def smoothing(x_t: Tensor, t: float, condition: Condition) -> Tensor:
    """Looks at its neighbours, and at how many there are: differs at the borders of windows."""
    pool = torch.nn.functional.avg_pool2d if x_t.ndim == 4 else torch.nn.functional.avg_pool3d
    return pool(x_t, 5, stride=1, padding=2)


@pytest.mark.parametrize(("canvas", "window"), CANVASES)
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_the_weights_of_all_windows_add_up_to_one(
    canvas: tuple[int, ...], window: tuple[int, ...], overlap: float
) -> None:
    windows, total = Windows(canvas, window, overlap), torch.zeros(canvas, dtype=torch.float64)
    for place, weight in zip(windows.places, windows.weights(total), strict=True):
        assert weight.min() > 0
        total[place] += weight
    assert (total - 1).abs().max() < 1e-14


@pytest.mark.parametrize(("canvas", "window"), CANVASES)
def test_constant_and_pixelwise_denoisers_do_not_notice_windows(
    canvas: tuple[int, ...], window: tuple[int, ...]
) -> None:
    x = torch.randn(2, 3, *canvas, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    condition = Condition(image=x[:, :1] / 2)
    for denoise in (constant, pixelwise):
        tiled = Tiled(denoise, window)(x, 0.7, condition)
        assert (tiled - denoise(x, 0.7, condition)).abs().max() < 1e-13


def test_a_window_that_covers_the_canvas_changes_nothing() -> None:
    x = torch.randn(2, 3, 20, 24)
    for window in ((20, 24), (64, 64)):
        assert torch.equal(Tiled(smoothing, window)(x, 0.5, Condition()), smoothing(x, 0.5, Condition()))


def test_an_estimate_is_the_weighted_mean_of_those_of_its_windows() -> None:
    x = torch.randn(2, 1, 24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    windows = Windows((24, 40), (16, 16))

    def mean(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        return x_t.mean((2, 3), keepdim=True).expand_as(x_t)

    expected = torch.zeros_like(x)
    for place, weight in zip(windows.places, windows.weights(x), strict=True):
        expected[place] += weight * x[place].mean((2, 3), keepdim=True)
    assert (Tiled(mean, (16, 16))(x, 0.5, Condition()) - expected).abs().max() < 1e-14


@pytest.mark.parametrize("at_once", [2, 3, 100])
def test_how_many_windows_are_handed_over_changes_no_bit(at_once: int) -> None:
    x = torch.randn(3, 2, 50, 71)
    alone = Tiled(smoothing, (16, 32))(x, 0.5, Condition())
    assert torch.equal(Tiled(smoothing, (16, 32), at_once=at_once)(x, 0.5, Condition()), alone)
    assert torch.equal(Tiled(smoothing, (16, 32), at_once=at_once)(x[1:2], 0.5, Condition()), alone[1:2])


def test_windows_overlap_by_what_was_asked_and_reach_both_ends() -> None:
    for length in range(1, 200):
        for window in (1, 2, 7, 16):
            for overlap in (0.0, 0.5, 0.8):
                side = min(window, length)
                places = starts(length, side, overlap)
                assert places[0] == 0 and places[-1] == length - side
                gaps = [after - before for before, after in pairwise(places)]
                assert all(0 < gap <= max(1, side * (1 - overlap)) + 1 for gap in gaps)
    assert starts(64, 32) == [0, 16, 32] and starts(32, 32) == [0]


def test_windows_begin_at_multiples_of_the_step_of_each_axis() -> None:
    windows, total = Windows((12, 40, 64), (8, 16, 32), step=(1, 4, 8)), torch.zeros(12, 40, 64, dtype=torch.float64)
    places = [[place[axis] for place in windows.places] for axis in (1, 2, 3)]
    begins = [{each.start for each in axis if isinstance(each, slice)} for axis in places]
    assert begins == [{0, 4}, {0, 8, 16, 24}, {0, 16, 32}]
    for place, weight in zip(windows.places, windows.weights(total), strict=True):
        total[place] += weight
    assert (total - 1).abs().max() < 1e-14
    whole = Windows((12, 40, 64), (8, 16, 32), step=4)
    assert whole.places == Windows((12, 40, 64), (8, 16, 32), step=(4, 4, 4)).places


def test_members_do_not_change_their_mind_where_windows_meet() -> None:
    """Each window is all one class or all the other: members of a shared canvas agree with themselves more often."""
    members = torch.randn(32, 1, 16, 96, generator=torch.Generator().manual_seed(3))
    windows = Windows((16, 96), (16, 32))

    def choosing(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        return (2 * x_t.mean((1, 2, 3), keepdim=True)).tanh().expand_as(x_t).clone()

    def settled(denoise: Denoise, x: Tensor) -> Tensor:
        for _ in range(60):
            x = 0.5 * x + 0.5 * denoise(x, 0.5, Condition())
        return x

    def changes(x: Tensor) -> float:
        """How often a member changes its class along the canvas."""
        return float((x[:, 0, 0].sign().diff(dim=1) != 0).sum() / len(x))

    stitched = torch.zeros_like(members)
    for place, weight in zip(windows.places, windows.weights(members), strict=True):
        stitched[place] += weight * settled(choosing, members[place])
    assert changes(settled(Tiled(choosing, (16, 32)), members)) < changes(stitched) / 3


def test_labels_and_images_follow_their_items() -> None:
    x, label = torch.zeros(3, 1, 40, 40), torch.tensor([1, 2, 3])
    image = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 40, 40)

    def told(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        assert condition.label is not None and condition.image is not None
        return condition.image + 10 * condition.label.view(-1, 1, 1, 1) + 0 * x_t

    drawn = Tiled(told, (16, 16), at_once=4)(x, 0.5, Condition(image=image, label=label))
    assert torch.allclose(drawn[:, 0, 0, 0], torch.tensor([10.0, 21.0, 32.0]))
