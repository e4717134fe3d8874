"""Spaces of features in which sets of images are compared.

    own         the classifier of the user's labels, trained on the training part of the real data: what tells classes
                apart. Needs labels.
    radiomics   grey values, texture, edges (`sfumato.metrics.radiomics`): blur, noise, contrast
    pixels      principal components of the pixels: coarse shape and place
    inception   the Inception-v3 of the FID, from a file that the user has
    dinov2      DINOv2, from a folder that the user has, or from the hub where it can be reached

The first three need no other's weights; together they notice what each alone is blind to. Each is fitted to training
images only, never to those that are compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, assert_never, cast, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sfumato.data.augmentation.ranges import PRESETS
from sfumato.data.dataset import Dataset
from sfumato.errors import UsageError
from sfumato.evenly import evenly
from sfumato.metrics.fidelity import Features, PixelSpace
from sfumato.metrics.radiomics import RadiomicsSpace
from sfumato.networks.foreign.dinov2 import load_dinov2
from sfumato.networks.foreign.inception import InceptionFile, load_inception
from sfumato.provenance import digest
from sfumato.tasks.classify import OwnSpace, fit_classifier
from sfumato.typing import Data

_Kind = Literal["own", "radiomics", "pixels", "inception", "dinov2"]

WEIGHT_FREE = ("own", "radiomics", "pixels")

CLASSIFIER_STEPS = 200
"""Training steps of the classifier: enough to tell classes apart, too few to learn images by heart."""

SPANNING = 1000
"""Training images that a space is fitted to, at most."""

_COARSE = 64
"""Longest side in pixels of the images whose principal components are taken; larger ones are reduced."""

_BATCH = 128
"""Images whose features are taken at once."""


class FeatureSpaceSpec(NamedTuple):
    """A space that was asked for, and the file or folder of its weights."""

    kind: _Kind
    weights: str = ""


@dataclass(frozen=True)
class Space:
    """A space of features.

    Attributes:
        name: the kind.
        features: features of images (n, c, h, w) in [-1, 1].
        preprocessing: what happens to an image before, in words.
        weights: where the weights are from; empty without any.
        sha256: of the file of the weights.
        arrays: what the space was fitted to, for `reference`; empty where weights say everything.
        probabilities: of the classes of the classifier, where the space has one.
    """

    name: _Kind
    features: Callable[[Data], Features]
    preprocessing: str
    weights: str = ""
    sha256: str | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    probabilities: Callable[[Data], Float[np.ndarray, "n classes"]] | None = None

    def about(self) -> dict[str, object]:
        """As plain JSON; of a file of weights its name, not where it lies."""
        weights = Path(self.weights).name if self.weights and Path(self.weights).exists() else self.weights
        return {"weights": weights, "sha256": self.sha256, "preprocessing": self.preprocessing}


def parse_features(text: str) -> tuple[FeatureSpaceSpec, ...]:
    """`own,radiomics,pixels,inception:FILE,dinov2:FOLDER` as wishes.

    Raises:
        UsageError: an unknown or repeated name, weights that are missing or not wanted.
    """
    wishes = []
    for word in filter(None, text.split(",")):
        kind, _, weights = word.strip().partition(":")
        if kind not in get_args(_Kind):
            raise UsageError(f"--features {word}", expected=f"some of {', '.join(get_args(_Kind))}")
        if bool(weights) == (kind in WEIGHT_FREE):
            raise UsageError(f"--features {word}", expected=_form(kind))
        wishes.append(FeatureSpaceSpec(cast(_Kind, kind), weights))
    if not wishes or len({wish.kind for wish in wishes}) < len(wishes):
        raise UsageError(f"--features {text}", expected="at least one, each once")
    return tuple(wishes)


def _form(kind: str) -> str:
    """How a space is asked for."""
    if kind in WEIGHT_FREE:
        return f"'{kind}'"
    place = "FILE" if kind == "inception" else "FOLDER"
    return f"{kind}:{place}"


def spanning_rows(dataset: Dataset) -> list[int]:
    """Rows of real training images to fit a space to."""
    return evenly(learned_rows(dataset), SPANNING)


def learned_rows(dataset: Dataset) -> list[int]:
    """Rows of the real training images; of all real ones where there is no training part."""
    real = dataset.real(range(len(dataset)))
    return [row for row in real if dataset.cases[row].split == "train"] or real


def why_not(wish: FeatureSpaceSpec, dataset: Dataset) -> str | None:
    """Why a space cannot be made of a data set; None if it can."""
    if wish.kind == "own" and len({dataset.cases[row].label for row in learned_rows(dataset)} - {None}) < 2:
        return "the space of an own classifier needs labels of at least two classes in the training part: left out"
    if wish.kind not in WEIGHT_FREE and dataset.spec.channels not in (1, 3):
        return f"the network of the space {wish.kind} sees grey and RGB, not {dataset.spec.channels} channels: left out"
    return None


def make_space(wish: FeatureSpaceSpec, dataset: Dataset, *, device: str, seed: int) -> Space:
    """The space, fitted to the training images of a data set where it is of a kind that is."""
    match wish.kind:
        case "own":
            return own_space(dataset, device=device, seed=seed)
        case "radiomics":
            return radiomics_space(RadiomicsSpace.of(dataset.images(spanning_rows(dataset)).numpy()))
        case "pixels":
            return pixel_space(PixelSpace.of(_coarse(dataset.images(spanning_rows(dataset)))))
        case "inception" | "dinov2":
            return frozen_space(wish, device=device)
        case unreachable:
            assert_never(unreachable)


def own_space(dataset: Dataset, *, device: str, seed: int) -> Space:
    """The features and probabilities of a classifier of the labels of the training part."""
    rows = [row for row in learned_rows(dataset) if dataset.cases[row].label]
    classifier = fit_classifier(
        dataset, augment=PRESETS["light"], rows=rows, steps=CLASSIFIER_STEPS, seed=seed, device=device
    )
    space = OwnSpace(classifier, dataset.images(spanning_rows(dataset), device))

    @torch.inference_mode()
    def probabilities(images: Data) -> Float[np.ndarray, "n classes"]:
        scores: Tensor = classifier(images.to(device))
        return scores.softmax(1).double().cpu().numpy()

    return Space(
        name="own",
        features=lambda images: space.features(images.to(device)),
        preprocessing=f"classifier of {', '.join(dataset.spec.classes)}, {CLASSIFIER_STEPS} steps, seed {seed}",
        probabilities=probabilities,
    )


def radiomics_space(space: RadiomicsSpace) -> Space:
    """Radiomics-like features."""
    text = "47 features of grey values, texture and edges, 2 more a channel; deviations from real images, at most 10"
    return Space("radiomics", lambda images: space.features(images.cpu().numpy()), text, arrays=space._asdict())


def pixel_space(space: PixelSpace) -> Space:
    """Principal components of pixels."""
    text = f"{space.components.shape[1]} principal components of pixels, at most {_COARSE} pixels a side"
    return Space("pixels", lambda images: space.features(_coarse(images)), text, arrays=space._asdict())


def frozen_space(wish: FeatureSpaceSpec, *, device: str) -> Space:
    """The space of a network of others, from its file or folder."""
    load = load_inception if wish.kind == "inception" else load_dinov2
    extractor = load(wish.weights, device=device)

    def features(images: Data) -> Features:
        parts = [extractor.features(part.to(device)) for part in torch.split(images, _BATCH)]
        return torch.cat(parts).double().cpu().numpy()

    def probabilities(images: Data) -> Float[np.ndarray, "n classes"]:
        assert isinstance(extractor, InceptionFile)
        parts = list[Tensor]()
        for part in torch.split(images, _BATCH):
            of_part = extractor.features(part.to(device))
            parts.append(extractor.probabilities(of_part))
        return torch.cat(parts).double().cpu().numpy()

    return Space(
        name=wish.kind,
        features=features,
        preprocessing=extractor.preprocessing,
        weights=wish.weights,
        sha256=digest(extractor.file),
        probabilities=probabilities if isinstance(extractor, InceptionFile) else None,
    )


def _coarse(images: Data) -> np.ndarray:
    height, width = images.shape[2:]
    if max(height, width) <= _COARSE:
        return images.cpu().numpy()
    shrink = _COARSE / max(height, width)
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    return functional.adaptive_avg_pool2d(images, size).cpu().numpy()
