"""Statistics of a set of real images in one file: others can compare with it without having the images.

    FILE.npz   mu, sigma     mean (d) and sample covariance (d, d) of the features: what EDM and pytorch-fid read
               about         JSON: the space, the hash of its weights, what happens to an image before, counts
               class_mu, class_sigma     the same of each class: (k, d), and (k, d, d) up to 256 features
               space_...     what a weight-free space was fitted to

A file with `mu` and `sigma` alone, as EDM and pytorch-fid write it, can be compared with too, in the space of
Inception; nobody knows then how many images it is of and what was done to them, and a Fréchet distance depends on both.
"""

import json
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.spec import Spec
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.images.panel import MetricRow
from sfumato.evaluation.images.read import ImageSet, gathered
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, Space, frozen_space, pixel_space, radiomics_space
from sfumato.files import open_file
from sfumato.metrics.fidelity import (
    FRECHET_BOOTSTRAPS,
    Features,
    Moments,
    PixelSpace,
    around,
    feature_moments,
    frechet_moments,
)
from sfumato.metrics.radiomics import RadiomicsSpace
from sfumato.metrics.table import POOLED
from sfumato.plain import in_form, parse_json
from sfumato.shortage import raise_shortage

_FORMAT = 1

CLASS_COVARIANCES = 256
"""Features up to which covariances of classes are kept: of 2048 each would take 34 MB."""

FEWEST_OF_CLASS = 2
"""Images of a class from which it has a covariance."""


@dataclass(frozen=True)
class Reference:
    """Statistics that were read.

    Attributes:
        moments: of the whole set.
        about: what the file says of itself; empty for files of others.
        classes: moments of each class.
        arrays: what its weight-free space was fitted to.
    """

    moments: Moments
    about: Mapping[str, Any] = field(default_factory=dict)
    classes: Mapping[str, Moments] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


def write_reference(file: Path, space: Space, images: ImageSet, spec: Spec) -> dict[str, Any]:
    """Write the statistics of some images in a space; what the file says of itself.

    Args:
        file: the file, `.npz`.
        space: any but `own`, whose classifier is nobody else's.
        images: real images.
        spec: the form in which they are.
    """
    features = np.concatenate(gathered(images, space.features))
    whole, labels = feature_moments(features), np.asarray(images.labels)
    counts = {name: count for name, count in sorted(Counter(images.labels).items()) if name}
    classes = {name: count for name, count in counts.items() if count >= FEWEST_OF_CLASS}
    about = {
        "format": _FORMAT,
        "space": space.name,
        **space.about(),
        "images": len(images),
        "what": images.what,
        "classes": classes,
        "data": spec.to_dict(),
    }
    arrays = {"mu": whole.mean, "sigma": whole.covariance, "about": np.array(json.dumps(about))}
    arrays |= {f"space_{name}": array for name, array in space.arrays.items()}
    arrays |= _arrays_of_classes([feature_moments(features[labels == name]) for name in classes])
    with file.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    return about


def _arrays_of_classes(moments: Sequence[Moments]) -> dict[str, np.ndarray]:
    if not moments:
        return {}
    arrays = {"class_mu": np.stack([of_class.mean for of_class in moments])}
    if len(moments[0].mean) <= CLASS_COVARIANCES:
        arrays["class_sigma"] = np.stack([of_class.covariance for of_class in moments])
    return arrays


def read_reference(file: Path) -> Reference:
    """Statistics of a file that `write_reference`, EDM or pytorch-fid wrote.

    Raises:
        DataError: it is no such file.
    """
    try:
        with open_file(file) as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        mean, covariance = arrays["mu"].astype(np.float64), arrays["sigma"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise_shortage(error, reading=file)
        raise DataError(
            f"{file} holds no statistics: {error}", expected="an .npz file with mu and sigma", code="SCORE-031"
        ) from error
    moments = Moments(mean, covariance)
    _refuse_strange(moments, file)

    def fault(finding: str) -> DataError:
        return DataError(f"{file}: what it says of itself {finding}", expected="as sfumato writes", code="SCORE-031")

    about, classes = parse_json(str(arrays.get("about", "{}")), fault), {}
    with in_form(fault):
        if "class_sigma" in arrays:
            pairs = zip(arrays["class_mu"], arrays["class_sigma"], strict=True)
            classes = dict(zip(about["classes"], starmap(Moments, pairs), strict=True))
        about = dict(about)
    fitted = {name.removeprefix("space_"): array for name, array in arrays.items() if name.startswith("space_")}
    return Reference(moments, about, classes, fitted)


def _refuse_strange(moments: Moments, file: Path) -> None:
    mean, covariance = moments.mean, moments.covariance
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        finding = f"{file}: mu has the shape {mean.shape}, sigma {covariance.shape}"
        raise DataError(finding, expected="d and d x d numbers", code="SCORE-031")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise DataError(f"{file}: mu or sigma hold NaN or infinite numbers", expected="numbers", code="SCORE-031")


def reference_space(reference: Reference, wishes: Sequence[FeatureSpaceSpec], *, device: str) -> Space:
    """The space that statistics are of, with weights from the person where they need some.

    Raises:
        UsageError: weights are needed and not given, or they are others than those of the file.
    """
    kind = reference.about.get("space", "inception")
    if kind == "radiomics":
        return radiomics_space(RadiomicsSpace(**reference.arrays))
    if kind == "pixels":
        return pixel_space(PixelSpace(**reference.arrays))
    wish = next((wish for wish in wishes if wish.kind == kind), None)
    if wish is None:
        place = "FILE" if kind == "inception" else "FOLDER"
        raise UsageError(f"the reference is in the space of {kind}", expected=f"--features {kind}:{place}")
    space = frozen_space(wish, device=device)
    if reference.about and reference.about["sha256"] != space.sha256:
        raise UsageError(
            f"{wish.weights} has other weights (sha256 {space.sha256}) than those of the reference",
            expected=f"sha256 {reference.about['sha256']}",
            remedy="name the file that the reference was made with",
        )
    return space


def measure_reference(space: Space, reference: Reference, images: ImageSet, *, seed: int) -> Iterator[MetricRow]:
    """Fréchet distance to the statistics, of the whole set and of each class that both have; there is no floor.

    Raises:
        DataError: the statistics are of another number of features.
    """
    features = np.concatenate(gathered(images, space.features))
    if features.shape[1] != len(reference.moments.mean):
        raise DataError(
            f"the reference has {len(reference.moments.mean)} features",
            expected=f"{features.shape[1]}, as {space.name} has",
            remedy="name the reference or the features that belong together",
            code="SCORE-031",
        )
    labels = np.asarray(images.labels)
    if len(features) >= FEWEST_OF_CLASS:
        yield _measure(space, POOLED, features, reference.moments, seed=seed)
    for name, known in reference.classes.items():
        of_class = features[labels == name]
        if len(of_class) >= FEWEST_OF_CLASS:
            yield _measure(space, name, of_class, known, seed=seed)


def _measure(space: Space, group: str, features: Features, known: Moments, *, seed: int) -> MetricRow:
    value = frechet_moments(feature_moments(features), known)
    rng = np.random.default_rng(seed)
    again = list[float]()
    for _ in range(FRECHET_BOOTSTRAPS):
        rows = rng.integers(0, len(features), len(features))
        again.append(frechet_moments(feature_moments(features[rows]), known))
    spread = around(value, again)
    return MetricRow(
        space=space.name,
        group=group,
        metric="frechet_reference",
        value=value,
        low=spread.low,
        high=spread.high,
        floor=math.nan,
        floor_sd=math.nan,
        z=math.nan,
        images=len(features),
    )
