"""Surfaces between voxels and distances between them: closed forms, MONAI, scikit-image, and where the cut is made."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from monai.metrics.utils import get_code_to_measure_table
from scipy import ndimage
from skimage.measure import find_contours, marching_cubes, mesh_surface_area
from skimage.metrics import hausdorff_distance

from sfumato.metrics import surface
from sfumato.metrics.surfel import areas, codes

PIXELS = (1.0, 1.0)


def blob(rng: np.random.Generator, shape: tuple[int, ...], *, width: float = 2.0, share: float = 0.3) -> np.ndarray:
    """A random mask of smooth pieces, many of them touching the border."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), width)
    return field >= np.quantile(field, 1 - share)


def box(shape: tuple[int, ...], *sides: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def of_monai(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> tuple[float, ...]:
    a, b = torch.from_numpy(first)[None, None].float(), torch.from_numpy(second)[None, None].float()
    same = {"include_background": True, "spacing": list(spacing)}
    return (
        float(compute_hausdorff_distance(a, b, percentile=95, **same)),
        float(compute_hausdorff_distance(a, b, **same)),
        float(compute_average_surface_distance(a, b, symmetric=True, **same)),
        float(compute_surface_dice(a, b, class_thresholds=[tolerance], use_subvoxels=True, **same)),
    )


def ours(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> tuple[float, ...]:
    between = surface.distances(first, second, spacing=spacing)
    shared = surface.nsd(first, second, tolerance=tolerance, spacing=spacing)
    return surface.hd95(between), surface.hd(between), surface.assd(between), shared


@pytest.mark.parametrize("spacing", [PIXELS, (2.0, 0.3), (1.0, 1.0, 1.0), (5.0, 1.0, 1.0), (0.7, 2.0, 3.3)])
def test_areas_of_all_codes_are_monais(spacing: tuple[float, ...]) -> None:
    theirs, kernel = (each.numpy() for each in get_code_to_measure_table(spacing))
    bits = [int(kernel[0, 0][corner]) for corner in product((0, 1), repeat=len(spacing))]
    table = areas(spacing)
    assert len(table) == len(theirs) == 2 ** len(bits)
    for code, area in enumerate(table):
        assert area == pytest.approx(theirs[sum(bit for i, bit in enumerate(bits) if code >> i & 1)], rel=1e-6)


def test_codes_count_the_corners_inside() -> None:
    mask = blob(np.random.default_rng(0), (9, 8, 7))
    corners = sum(ndimage.shift(mask.astype(int), -np.array(at), order=0) for at in product((0, 1), repeat=3))
    np.testing.assert_array_equal(np.bitwise_count(codes(mask)), corners[:-1, :-1, :-1])


def test_area_of_a_box_in_closed_form() -> None:
    a, b, c = 5, 4, 6
    found = surface.surface_of(box((9, 9, 9), (2, 2 + a), (3, 3 + b), (1, 1 + c)), spacing=(1.0, 1.0, 1.0)).area.sum()
    faces = 2 * ((a - 1) * (b - 1) + (b - 1) * (c - 1) + (a - 1) * (c - 1))
    assert found == pytest.approx(faces + 4 * (a + b + c - 3) * math.sqrt(0.5) + 8 * math.sqrt(3) / 8)


@pytest.mark.parametrize("spacing", [PIXELS, (0.4, 1.7)])
def test_length_is_that_of_the_contour_of_scikit_image(spacing: tuple[float, float]) -> None:
    mask = blob(np.random.default_rng(1), (40, 30), width=1.0)
    lines = [np.diff(line, axis=0) * spacing for line in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    length = sum(np.linalg.norm(line, axis=1).sum() for line in lines)
    assert surface.surface_of(mask, spacing=spacing).area.sum() == pytest.approx(length, rel=1e-9)


def test_area_of_a_ball_is_that_of_the_mesh_of_scikit_image() -> None:
    spacing = (2.0, 1.0, 0.5)
    z, y, x = (np.arange(-12, 13) for _ in range(3))
    mask = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 100
    mesh = mesh_surface_area(*marching_cubes(mask.astype(float), 0.5, spacing=spacing)[:2])
    assert surface.surface_of(mask, spacing=spacing).area.sum() == pytest.approx(mesh, rel=0.01)


def test_boundary_has_a_face_neighbour_outside() -> None:
    mask = blob(np.random.default_rng(2), (12, 11, 10))
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    np.testing.assert_array_equal(surface.boundary(mask, spacing=(1.0, 1.0, 1.0)), edge)
    np.testing.assert_array_equal(surface.boundary(mask, spacing=(5.0, 1.0, 0.5)), edge * [5.0, 1.0, 0.5])
    assert len(surface.boundary(np.ones((6, 6), bool), spacing=PIXELS)) == 20  # beyond the image all is outside


@pytest.mark.parametrize("seed", range(12))
def test_ordinary_masks_score_as_in_monai(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dimensions = 2 + seed % 2
    shape, spacing = tuple(rng.integers(10, 30, dimensions).tolist()), tuple(rng.uniform(0.3, 5.0, dimensions).tolist())
    width, share, tolerance = rng.uniform(0.3, 3.0), rng.uniform(0.05, 0.7), float(rng.uniform(0.5, 4.0))
    first, second = blob(rng, shape, width=width, share=share), blob(rng, shape, width=width, share=share)
    expected = of_monai(first, second, spacing, tolerance)
    assert ours(first, second, spacing, tolerance) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_largest_distance_is_scikit_images() -> None:
    rng = np.random.default_rng(3)
    first, second = blob(rng, (20, 25)), blob(rng, (20, 25))
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    assert surface.hd(surface.distances(first, second, spacing=PIXELS)) == pytest.approx(hausdorff_distance(*edges))


def test_percentiles_are_directed_and_the_mean_is_pooled() -> None:
    between = surface.Distances(to_reference=np.array([0.0, 0.0, 0.0, 8.0]), to_prediction=np.array([1.0, 2.0]))
    assert surface.hd(between) == 8.0
    assert surface.hd95(between) == pytest.approx(0.85 * 8)  # pooled: 6.5
    assert surface.assd(between) == pytest.approx(11 / 6)  # mean of the two means: 1.75


def test_percentile_in_a_gap_is_exact() -> None:
    """MONAI finds the place of the percentile in single precision: 1e-3 off in a wide gap (3e-4 with torch 2.15)."""
    lengths = np.repeat([12.0, 40.0], [990, 53])
    between = surface.Distances(to_reference=lengths, to_prediction=lengths)
    assert surface.hd95(between) == pytest.approx(12 + 0.9 * 28, rel=1e-12)
    assert abs(float(torch.quantile(torch.from_numpy(lengths).float(), 0.95)) - (12 + 0.9 * 28)) > 1e-4


def test_swapping_the_masks_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    first, second, spacing = blob(rng, (12, 14, 9)), blob(rng, (12, 14, 9)), (3.0, 1.0, 0.5)
    assert ours(first, second, spacing, 1.0) == pytest.approx(ours(second, first, spacing, 1.0), rel=1e-12)


def test_only_the_places_relative_to_each_other_matter() -> None:
    rng = np.random.default_rng(5)
    first, second = blob(rng, (9, 9)), blob(rng, (9, 9))
    far = [np.pad(mask, ((17, 3), (0, 40))) for mask in (first, second)]
    assert ours(first, second, PIXELS, 1.0) == pytest.approx(ours(*far, PIXELS, 1.0), rel=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_voxel_is_as_far_as_its_spacing(axis: int) -> None:
    spacing = (5.0, 1.0, 2.5)
    cube = box((12, 12, 12), (4, 8), (4, 8), (4, 8))
    assert surface.hd95(surface.distances(cube, np.roll(cube, 1, axis), spacing=spacing)) == spacing[axis]


def test_a_distance_equal_to_the_tolerance_agrees_whatever_the_last_bit() -> None:
    assert 3 * 0.1 > 0.3
    point = box((1, 9), (0, 1), (2, 3))
    assert surface.nsd(point, np.roll(point, 3, 1), tolerance=0.3, spacing=(0.1, 0.1)) == 1.0
    assert surface.nsd(point, np.roll(point, 3, 1), tolerance=0.29, spacing=(0.1, 0.1)) < 1.0


def test_tolerance_zero_counts_what_is_identical() -> None:
    mask = blob(np.random.default_rng(6), (15, 15))
    assert surface.nsd(mask, mask, tolerance=0.0, spacing=PIXELS) == 1.0
    assert surface.nsd(box((9, 9), (0, 2), (0, 2)), box((9, 9), (6, 8), (6, 8)), tolerance=0.0, spacing=PIXELS) == 0.0
