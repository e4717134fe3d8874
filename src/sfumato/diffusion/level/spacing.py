"""Grids that walk a table: which of its T entries are kept, from the noisiest down, and then 0.

A discrete process is sampled in n < T steps by leaving entries out ("respacing"). Programs differ in which they keep;
a model whose quality was reported with one of these rules is sampled best with it. With entries counted from 0:

    trailing    round(T - i T / n) - 1                from the noisiest, T - 1                            (1)
    leading     i floor(T / n)                        down to entry 0, starts below the noisiest         (2)
    linspace    round(i (T - 1) / (n - 1))            both ends                                           (3)

Entry k has the time (k + 1) / T. Lin et al. (2024, table 2) show that only (1) and (3) start where the prior holds.
Halves are rounded to even numbers. Sources: (1)-(3) diffusers; `kept` Nichol & Dhariwal 2021, improved-diffusion.
"""

from collections.abc import Iterable
from itertools import accumulate, repeat

from sfumato.diffusion.level.schedule import Discrete


def trailing_grid(schedule: Discrete, steps: int) -> list[float]:
    """Equation (1)."""
    total = _length(schedule, steps, least=1)
    return _times(schedule, (round(total - i * total / steps) - 1 for i in range(steps)))


def leading_grid(schedule: Discrete, steps: int) -> list[float]:
    """Equation (2)."""
    stride = _length(schedule, steps, least=2) // steps
    return _times(schedule, (i * stride for i in reversed(range(steps))))


def linspace_grid(schedule: Discrete, steps: int) -> list[float]:
    """Equation (3)."""
    last = _length(schedule, steps, least=2) - 1
    return _times(schedule, (round(i * last / (steps - 1)) for i in reversed(range(steps))))


def respaced_grid(schedule: Discrete, spacing: str) -> list[float]:
    """The entries that `kept` names, as times."""
    return _times(schedule, reversed(kept(len(schedule), spacing)))


def kept(total: int, spacing: str) -> list[int]:
    """Entries of a table that improved-diffusion keeps, rising.

    Args:
        total: length T of the table.
        spacing: "25" by (3); "10,15,20" the same in three equal parts of the table, the least noisy first; "ddim25" at
            equal whole distances from entry 0.

    Raises:
        ValueError: more entries are wanted than there are, or no whole distance gives so many.
    """
    if spacing.startswith("ddim"):
        return _evenly(total, int(spacing.removeprefix("ddim")))
    counts = [int(count) for count in spacing.split(",")]
    part, extra = divmod(total, len(counts))
    entries, start = [], 0
    for i, count in enumerate(counts):
        size = part + (i < extra)
        entries += [start + entry for entry in _spread(size, count)]
        start += size
    return entries


def _spread(size: int, count: int) -> list[int]:
    """Equation (3) as a running sum, whose rounding decides where it meets a half; one entry is the first."""
    if not 0 < count <= size:
        raise ValueError(f"{count} steps cannot be kept of {size}")
    stride = (size - 1) / max(count - 1, 1)
    return [round(position) for position in accumulate(repeat(stride, count - 1), initial=0.0)]


def _evenly(total: int, count: int) -> list[int]:
    for stride in range(1, total):
        if len(range(0, total, stride)) == count:
            return list(range(0, total, stride))
    raise ValueError(f"no whole distance keeps {count} steps of {total}")


def _length(schedule: Discrete, steps: int, *, least: int) -> int:
    """The table's length, if so many steps can be walked on it."""
    if not least <= steps <= len(schedule):
        raise ValueError(f"{steps} steps on a table of {len(schedule)}; this grid needs {least} to {len(schedule)}")
    return len(schedule)


def _times(schedule: Discrete, entries: Iterable[int]) -> list[float]:
    return [*((entry + 1) / len(schedule) for entry in entries), 0.0]
