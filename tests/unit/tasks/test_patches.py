"""Which patches are trained on: within the image, a third of them where there is something, by the item's noise."""

from collections import Counter

import numpy as np
import pytest

from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.ragged import Ragged
from sfumato.data.spec import Intensity, Spec
from sfumato.randomness import Noise
from sfumato.tasks.patches import Patches

SIZES = [(40, 60), (9, 50), (64, 64)]
NAMES = ("background", "large", "dot")


def dataset(*, readers: int = 1) -> Dataset:
    """Every pixel knows where it is; a large object and a dot of two pixels at the very corner, in the first image."""
    spec = Spec(
        size=None, channels=2, dtype="uint8", intensity=Intensity("unit", 0, 255, ""), mask_classes=NAMES,
        readers=readers,
    )  # fmt: skip
    images = [np.stack(np.mgrid[:height, :width], -1).astype(np.uint8) for height, width in SIZES]
    masks = [np.zeros((readers, *size), np.uint8) for size in SIZES]
    masks[0][0, 10:30, 20:40] = 1
    masks[0][0, 39, 58:] = 2
    masks[1][0, 4, 25] = 1
    flat = [np.concatenate([each.ravel() for each in arrays]) for arrays in (images, masks)]
    shapes = [[each.shape for each in arrays] for arrays in (images, masks)]
    cases = [Case(id=str(row), image="", split="train") for row in range(len(SIZES))]
    arrays = [Ragged(*each) for each in zip(flat, shapes, strict=True)]
    return Dataset(spec, cases, [OriginalSize(size) for size in SIZES], *arrays)


def drawn(row: int, count: int = 300, *, size: tuple[int, int] = (16, 16)) -> tuple[np.ndarray, ...]:
    """Patches of one image, whose pixels say where they are, and their masks."""
    data, rows, readers = dataset(), [row] * count, [0] * count
    corners = Patches(data, size).corners(rows, readers, Noise(range(count)))
    images = data.image_crops(rows, corners, size)
    return ((images + 1) * 127.5).round().numpy().astype(int), data.mask_crops(rows, corners, size, readers).numpy()


def test_patches_lie_within_the_image_and_masks_where_images_do() -> None:
    images, masks = drawn(0)
    assert images.shape == (300, 2, 16, 16) and masks.shape == (300, 16, 16)
    truth = dataset().mask(0)
    assert np.array_equal(truth[images[:, 0], images[:, 1]], masks)
    corners = images[:, :, 0, 0]
    assert corners.min(0).tolist() == [0, 0] and corners.max(0).tolist() == [40 - 16, 60 - 16]


def test_a_third_are_on_foreground_of_a_class_drawn_from_those_there_are() -> None:
    _, masks = drawn(0, 3000)
    on_the_dot = (masks == 2).any((1, 2)).mean()
    # half of the third, and few of those that begin anywhere: of 25 x 45 places 2 hold the dot
    assert abs(on_the_dot - (1 / 6 + 2 / 3 * 2 / (25 * 45))) < 0.02
    centres = masks[:, 8, 8]
    assert Counter(centres.tolist())[1] / len(centres) > 1 / 6 - 0.02


def test_each_pixel_of_a_class_is_as_likely() -> None:
    patches, noise = Patches(dataset(), (2, 2)), Noise(range(4000))
    numbers = noise.uniform(6).double().tolist()
    centres = [patches._corner(0, 0, [0.0, 0.0, *rest[2:]], (2, 2)) for rest in numbers]
    found = Counter((down + 1, across + 1) for down, across in centres)
    assert len(found) == 400 and max(found.values()) < 30 and set(found) == {
        (down, across) for down in range(10, 30) for across in range(20, 40)
    }  # fmt: skip


def test_an_image_below_the_patch_lies_in_its_middle_and_what_is_around_says_nothing() -> None:
    images, masks = drawn(1, 20)
    assert (masks[:, 4:13] != IGNORED).all() and (masks[:, :4] == IGNORED).all() and (masks[:, 13:] == IGNORED).all()
    assert images[0, 0, :, 0].tolist() == [3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6]


def test_a_patch_depends_on_its_noise_alone() -> None:
    every = Patches(dataset(), (16, 16)).corners([0, 2, 1], [0] * 3, Noise([5, 6, 7]))
    assert Patches(dataset(), (16, 16)).corners([2], [0], Noise([6])) == every[1:2]


@pytest.mark.parametrize(("row", "size"), [(0, (32, 32)), (1, (9, 32)), (2, (32, 32))])
def test_a_validation_looks_at_a_part_around_foreground(row: int, size: tuple[int, int]) -> None:
    data = dataset()
    box = Patches(data, (16, 16)).judged(row, Noise([3]))
    assert box.size == size
    assert all(0 <= start <= length - side for start, side, length in zip(*box, SIZES[row], strict=True))
    shown = data.mask(row)[box.corner[0] : box.corner[0] + size[0], box.corner[1] : box.corner[1] + size[1]]
    assert (shown > 0).any() or row == 2


def test_an_image_of_a_few_patches_is_looked_at_whole() -> None:
    assert Patches(dataset(), (32, 32)).judged(0, Noise([0])) == ((0, 0), (40, 60))


def test_a_validation_looks_at_as_many_voxels_of_a_volume_as_of_four_patches() -> None:
    spec = Spec(
        size=None, channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""), mask_classes=NAMES[:2],
        readers=1, dimensions=3,
    )  # fmt: skip
    mask = np.zeros((1, 30, 14, 40), np.uint8)
    mask[0, 20:25, 3:9, 30:] = 1
    case = Case(id="scan", image="", volume="scan", split="train")
    arrays = [Ragged(each.ravel(), [each.shape]) for each in (mask[0, ..., None], mask)]
    data = Dataset(spec, [case], [OriginalSize(mask.shape[1:])], *arrays)
    patches = Patches(data, (8, 10, 12))
    box = patches.judged(0, Noise([0]))
    assert box.size == (13, 14, 19), "each side 4^(1/3) times that of a patch, and no longer than the volume"
    assert data.mask_crops([0], [box.corner], box.size, [0]).any()
    corners = patches.corners([0] * 90, [0] * 90, Noise(range(90)))
    crops = data.mask_crops([0] * 90, corners, (8, 10, 12), [0] * 90)
    assert crops.shape == (90, 8, 10, 12) and int(crops.flatten(1).any(1).sum()) >= 30
