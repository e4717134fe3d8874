import io

import imagehash
import numpy as np
from PIL import Image

from sfumato.data.likeness import checksum, perceptual_hashes, pixel_digest, shrunk, thumbnails


def smooth(seed: int, *, side: int = 64) -> np.ndarray:
    """A picture with structure, grey, 0..255."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return np.asarray(Image.open(buffer))


def bits(one: str, two: str) -> int:
    return (int(one, 16) ^ int(two, 16)).bit_count()


def small(*pictures: np.ndarray) -> np.ndarray:
    return thumbnails(np.stack([shrunk(picture[..., None]) for picture in pictures]))


def test_near_duplicates_hash_alike_and_others_do_not() -> None:
    hashes = perceptual_hashes(small(*map(smooth, range(12))))
    deep = smooth(0).astype(np.uint16) * 16
    similar = perceptual_hashes(small(as_jpeg(smooth(0)), smooth(0, side=90), deep))
    assert max(bits(hashes[0], other) for other in similar) <= 4
    assert min(bits(one, two) for row, one in enumerate(hashes) for two in hashes[:row]) > 8


def test_digest_knows_shape_and_pixels() -> None:
    picture, (thumb,) = smooth(1), small(smooth(1))
    other = picture.copy()
    other[40, 50] += 1
    copies = (picture, other, picture.reshape(32, 128), np.asfortranarray(picture))
    seen = [pixel_digest(each.shape, checksum(each), thumb) for each in copies]
    assert seen[0] == seen[3] and len(set(seen)) == 3
    assert pixel_digest(picture.shape, checksum(picture), 255 - thumb) != seen[0]


def test_perceptual_hash_is_that_of_imagehash() -> None:
    thumbs = small(*map(smooth, range(20)))
    for thumb, found in zip(thumbs, perceptual_hashes(thumbs), strict=True):
        assert found == np.packbits(imagehash.phash(Image.fromarray(thumb)).hash).tobytes().hex()


def test_thumbnails_are_each_stretched_by_their_own_range() -> None:
    picture = smooth(2)
    one, faint, flat = small(picture, picture // 4, np.full_like(picture, 9))
    assert (one.min(), one.max(), faint.min(), faint.max()) == (0, 255, 0, 255) and not flat.any()


def test_numbers_near_the_largest_are_thumbnails_too() -> None:
    """Shrinking them overflows; no warning reaches the user, and the picture stays one."""
    picture = np.where(smooth(2) > 128, np.float32(3.4e38), np.float32(-3.4e38))
    (thumb,) = small(picture)
    assert thumb.min() == 0 and thumb.max() == 255
