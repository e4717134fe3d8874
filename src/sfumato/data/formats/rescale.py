"""From the numbers that a volume stores to those that are worked with, in as few bits as hold them.

    value = slope * stored + inter

Integers stay integers: unchanged without rescaling; as int16 or int32 where slope and intercept are whole numbers
(Hounsfield units). Everything else becomes float32. 64-bit integers become int32, since no mask or image needs more.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from sfumato.errors import DataError

_Numbers = Shaped[np.ndarray, "*any"]


def rescaled_dtype(path: Path, stored: np.dtype, *, slope: float = 1, inter: float = 0) -> np.dtype:
    """The kind of number that `rescaled` gives, as far as it is known without the values.

    Rescaled 16-bit numbers are int16 here; they become int32 where the values turn out not to fit.

    Raises:
        DataError: complex or other numbers that are no image.
    """
    if stored.kind not in "buif" or stored.itemsize > 8:
        raise strange_numbers(path, str(stored))
    if stored.kind == "b":
        return np.dtype(np.uint8)
    if stored.kind == "f" or not (float(slope).is_integer() and float(inter).is_integer()):
        return np.dtype(np.float32)
    if (slope, inter) == (1, 0) and np.can_cast(stored, np.int32):
        return stored.newbyteorder("=")
    return np.dtype(np.int16 if stored.itemsize <= 2 else np.int32)


def strange_numbers(path: Path, kind: str) -> DataError:
    """The error about numbers that are no image: complex, of 1 or 128 bits, or of a kind that nobody knows."""
    return DataError(
        f"{path} holds numbers of a kind that is not read: {kind}",
        expected="integers or floating point numbers of 8 to 64 bits",
        remedy="save the magnitude, or one component, as float32",
        code="DATA-031",
    )


def rescaled(path: Path, stored: _Numbers, *, slope: float = 1, inter: float = 0) -> _Numbers:
    """The values of stored numbers, in the byte order of this machine.

    Args:
        path: the file they are from, for errors.
        stored: at least one number, of any kind and byte order.
        slope: factor.
        inter: what is added.

    Raises:
        DataError: as for `rescaled_dtype`, and for integers beyond 32 bits.
    """
    target = rescaled_dtype(path, stored.dtype, slope=slope, inter=inter)
    plain = (slope, inter) == (1, 0)
    if plain and (target.kind == "f" or np.can_cast(stored.dtype, target)):
        with np.errstate(over="ignore"):  # infinity is refused later, with its place
            return stored.astype(target, copy=False)
    if target.kind == "f":
        return _line(stored, slope, inter, target)
    ends = [int(end) * int(slope) + int(inter) for end in (stored.min(), stored.max())]
    for candidate in (np.dtype(np.int16), np.dtype(np.int32)):
        limits = np.iinfo(candidate)
        if candidate.itemsize >= target.itemsize and limits.min <= min(ends) and max(ends) <= limits.max:
            return _line(stored, slope, inter, candidate)
    if not plain:
        return _line(stored, slope, inter, np.dtype(np.float32))
    raise DataError(
        f"{path} holds integers from {ends[0]} to {ends[1]}",
        expected="integers of 32 bits",
        remedy="number the labels afresh, or save an image as float32",
        code="DATA-031",
    )


def _line(stored: _Numbers, slope: float, inter: float, dtype: np.dtype) -> _Numbers:
    """The line in double precision, plane by plane: all at once would take eight bytes for every voxel."""
    values = np.empty_like(stored, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for plane in range(stored.shape[-1]):
            values[..., plane] = stored[..., plane].astype(np.float64) * slope + inter
    return values
