"""The closest pairs of generated and training images, to be looked at."""

import io
from collections import Counter

import numpy as np
from jaxtyping import UInt8

from sfumato.data.formats.picture import open_picture
from sfumato.evaluation.copies.audit import CopyAudit
from sfumato.evaluation.copies.detector import CopyDetector, CopyVerdict, Pictures, to_float
from sfumato.metrics.copies import Matches, aligned
from sfumato.reporting.figures import strips
from sfumato.tasks.task import to_uint8

_COLUMNS = 8
"""Pairs side by side."""


def closest_pairs(
    detector: CopyDetector, images: Pictures, found: CopyAudit, *, count: int = 16
) -> UInt8[np.ndarray, "height width 3"]:
    """A contact sheet: the generated image as it was brought onto the training image, that one below it, the score.

    Args:
        detector: that `found` is from.
        images: that `found` is about.
        found: the audit.
        count: how many pairs: the closest of each training image, the closest first, then the others.
    """
    order = _order(found.matches)[:count]
    rows = list[np.ndarray]()
    for start in range(0, len(order), _COLUMNS):
        rows.append(_row(detector, images, found, order[start : start + _COLUMNS]))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_widened(row, width) for row in rows])


def _widened(row: np.ndarray, width: int) -> np.ndarray:
    """White at the right."""
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)


def _order(matches: Matches) -> list[int]:
    """Images by how many closer ones have the same training image, then by score."""
    closer: Counter[int] = Counter()
    places = []
    for k in np.argsort(-matches.score, kind="stable").tolist():
        row = int(matches.nearest[k])
        places.append((closer[row], k))
        closer[row] += 1
    return [k for _, k in sorted(places, key=lambda place: place[0])]


def _row(detector: CopyDetector, images: Pictures, found: CopyAudit, chosen: list[int]) -> np.ndarray:
    generated, real, labels = list[np.ndarray](), list[np.ndarray](), list[str]()
    for place in chosen:
        nearest = detector.rows[found.matches.nearest[place]]
        generated.append(to_uint8(aligned(to_float(images[[place]]), found.matches.view[place]))[0])
        real.append(to_uint8(detector.dataset.images([nearest]))[0])
        labels.append(_label(found.verdicts[place]))
    sheet = strips({"generated, aligned": generated, "nearest real": real}, labels)
    return np.asarray(open_picture(io.BytesIO(sheet)))


def _label(verdict: CopyVerdict) -> str:
    return f"{verdict.score:.3f} copy" if verdict.copy else f"{verdict.score:.3f}"
