"""The fingerprint of a set: what it is like in numbers, from which a model is planned.

`fingerprint.json` has these keys; what a set does not have is null or empty.

    cases, volumes, patients          how many; volumes and patients 0 where none is known
    splits                            cases of each split of the source, "" for those without
    sizes                             min, median, max as [height, width], and histogram {"HxW": cases}
    dtypes                            images of each kind of number
    channels                          images of each number of channels
    colour                            share of the images whose channels differ
    spacing                           min, median, max in millimetres between pixels
    modality                          ct, mr, xray, photo ... or unknown, and modality_reason
    intensity                         low, high: of all numbers; inner_low, inner_high: medians over the images of the
                                      percentiles 0.5 and 99.5; mean, std: medians of theirs
    classes                           images of each class; imbalance = largest / smallest
    mask_classes                      for each class of pixels its share of all pixels and of the masks that have it
    masks                             readers: masks per image; masks: all of them; empty; measured: how many of them
                                      components, and the outlines below, were measured on (check: all; prepare:
                                      about 200, spread over the set); components: median and max;
                                      rule: what stored values mean; rule_values, rule_threshold
    disagreement                      dice: mean over images and pairs of readers; pixels: median number of pixels on
                                      which two readers differ, or, with one reader, on the outline of the objects;
                                      source: "readers" or "outline"; some_empty: share of the images where one reader,
                                      but not all, found nothing
    duplicates                        exact, near: groups; exact_cases, near_cases: cases in them
    unreadable                        cases with a file that cannot be read
    recommendations                   sentences
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from sfumato.data.copies import Copies, find_copies
from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.inspection.meaning import LabelMapping, MeasuredMask, agreements_of, masks_of, read_meaning
from sfumato.data.mask import MaskRule, class_names
from sfumato.data.source import DiscoveredDataset
from sfumato.data.statistics import Stats

AIR = -500.0
"""Numbers below are found in CT (air is -1000 Hounsfield units) and hardly anywhere else."""

PHOTO = 0.5
"""With colours in more than this share of 8-bit images, a set is taken for photographs."""

_MODALITIES = {"CT": "ct", "MR": "mr", "MRI": "mr", "CR": "xray", "DX": "xray", "MG": "xray", "US": "ultrasound"}
"""Our words for those of DICOM and nnU-Net."""


class Guess(NamedTuple):
    """What made the images, and how one knows."""

    modality: str
    reason: str


def fingerprint(
    found: DiscoveredDataset, facts: Sequence[CaseFacts], *, copies: Copies | None = None, as_stored: bool = False
) -> dict[str, Any]:
    """The fingerprint of a source as plain JSON; its keys are explained at the top of this module.

    Args:
        found: the source.
        facts: of its cases, in their order.
        copies: if they are known already.
        as_stored: of masks that seem inverted, tell what they show as they are, not what they were meant to show.
    """
    images = [fact.image for fact in facts if fact.image is not None]
    copies = find_copies(found.cases, facts) if copies is None else copies
    guess = modality_of(found, facts)
    entry = {
        "cases": len(found.cases),
        "volumes": _count_named(case.volume for case in found.cases),
        "patients": _count_patients(found),
        "splits": dict(Counter(case.split or "" for case in found.cases)),
        **_of_images(images),
        "modality": guess.modality,
        "modality_reason": guess.reason,
        **_of_classes(found),
        **_of_masks(found, facts, as_stored=as_stored),
        "duplicates": _of_copies(copies),
        "unreadable": sum(bool(fact.problems) for fact in facts),
    }
    return {**entry, "recommendations": list(_recommendations(entry))}


def _count_patients(found: DiscoveredDataset) -> int:
    """As many as the source says, else as many as its cases name."""
    if found.patients is not None:
        return found.patients
    return _count_named(case.patient for case in found.cases)


def _count_named(names: Iterable[str | None]) -> int:
    """How many different ones there are."""
    return len(set(names) - {None})


def modality_of(found: DiscoveredDataset, facts: Sequence[CaseFacts]) -> Guess:
    """What made the images: as the source says, else guessed."""
    if found.modality:
        return Guess(_word(found.modality), "the source says so")
    return guess_modality(facts)


def guess_modality(facts: Sequence[CaseFacts]) -> Guess:
    """What made the images, by their numbers alone: CT or photographs; anything else is unknown."""
    images = [fact.image for fact in facts if fact.image is not None]
    low = [image for image in images if _may_be_ct(image)]
    coloured = [image for image in images if image.coloured and image.dtype == "uint8"]
    if len(low) > len(images) / 2 and all(_whole(image) for image in low):
        return Guess("ct", f"{len(low)} of {len(images)} images reach below {AIR:g}, as Hounsfield units do")
    if len(coloured) > PHOTO * len(images):
        return Guess("photo", f"{len(coloured)} of {len(images)} images are in colour with 8 bit")
    return Guess("unknown", "the numbers do not tell; the source does not say")


def _may_be_ct(image: ImageFacts) -> bool:
    """Whether an image has one channel of signed numbers that reach down to those of air."""
    if image.channels != 1 or np.dtype(image.dtype).kind not in "if":
        return False
    return image.stats.inner_low < AIR and image.stats.high <= 32767


def _whole(image: ImageFacts) -> bool:
    return image.stats.low == round(image.stats.low) and image.stats.high == round(image.stats.high)


def _word(modality: str) -> str:
    return _MODALITIES.get(modality.upper(), modality.lower())


def _of_images(images: Sequence[ImageFacts]) -> dict[str, Any]:
    if not images:
        none = dict.fromkeys(("sizes", "dtypes", "channels", "spacing", "intensity"))
        return {**none, "colour": 0.0}
    return {
        "sizes": _sizes(images),
        "dtypes": dict(Counter(image.dtype for image in images)),
        "channels": dict(Counter(str(image.channels) for image in images)),
        "colour": sum(image.coloured for image in images) / len(images),
        "spacing": _spacing(images),
        "intensity": _intensity([image.stats for image in images]),
    }


def _sizes(images: Sequence[ImageFacts]) -> dict[str, Any]:
    sizes = np.array([image.size for image in images])
    counts = Counter(f"{height}x{width}" for height, width in sizes.tolist())
    return {
        "min": sizes.min(axis=0).tolist(),
        "median": np.median(sizes, axis=0).round().astype(int).tolist(),
        "max": sizes.max(axis=0).tolist(),
        "histogram": dict(counts.most_common()),
    }


def _spacing(images: Sequence[ImageFacts]) -> dict[str, float] | None:
    """Of rows and columns together; None where no file says it."""
    steps = list(chain.from_iterable(image.spacing for image in images if image.spacing))
    if not steps:
        return None
    return {"min": min(steps), "median": median(steps), "max": max(steps)}


def _intensity(stats: Sequence[Stats]) -> dict[str, float]:
    return {
        "low": min(each.low for each in stats),
        "high": max(each.high for each in stats),
        "inner_low": median(each.inner_low for each in stats),
        "inner_high": median(each.inner_high for each in stats),
        "mean": median(each.mean for each in stats),
        "std": median(each.std for each in stats),
    }


def _of_classes(found: DiscoveredDataset) -> dict[str, Any]:
    counts = Counter(case.label for case in found.cases if case.label is not None)
    named = {name: counts[name] for name in found.classes}
    balance = max(counts.values()) / min(counts.values()) if counts else None
    return {"classes": named, "imbalance": balance}


def _of_masks(found: DiscoveredDataset, facts: Sequence[CaseFacts], *, as_stored: bool) -> dict[str, Any]:
    masks = masks_of(found, facts)
    if not masks:
        return {"mask_classes": {}, "masks": None, "disagreement": None}
    meaning = read_meaning(found, masks)
    if as_stored:
        meaning = meaning._replace(inverted=frozenset())
    areas = _areas(masks, meaning)
    return {
        "mask_classes": _mask_classes(areas, found, meaning),
        "masks": {
            "readers": max(len(case.masks) for case in found.cases),
            "masks": len(masks),
            "empty": int((areas[:, 1:].sum(axis=1) == 0).sum()),
            **_of_components(masks, meaning),
            **_of_rule(meaning.rule),
        },
        "disagreement": _disagreement(facts, meaning),
    }


def _areas(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Integer[np.ndarray, "masks classes"]:
    """Pixels of each class in each mask; nothing without a rule."""
    if not meaning.rule:
        return np.zeros((0, 0), np.int64)
    return np.array([meaning.areas(mask) for mask in masks], np.int64)


def _mask_classes(
    areas: Integer[np.ndarray, "masks classes"], found: DiscoveredDataset, meaning: LabelMapping
) -> dict[str, dict[str, float]]:
    """Of each class its share of all pixels, and of the masks that have it."""
    if not meaning.rule:
        return {}
    shares, present = areas.sum(axis=0) / max(1, areas.sum()), (areas > 0).mean(axis=0)
    classes: dict[str, dict[str, float]] = {}
    for label, name in enumerate(_names(found, meaning)):
        classes[name] = {"share": float(shares[label]), "in_masks": float(present[label])}
    return classes


def _of_components(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> dict[str, Any]:
    """On how many masks regions were counted, and how many they have."""
    counts = list[int]()
    for mask in masks:
        count = _components(mask, meaning)
        if count is not None:
            counts.append(count)
    if not counts:
        return {"measured": 0, "components": None}
    return {"measured": len(counts), "components": {"median": median(counts), "max": max(counts)}}


def _of_rule(rule: MaskRule | None) -> dict[str, Any]:
    if not rule:
        return {"rule": None, "rule_values": None, "rule_threshold": None}
    return {"rule": rule.text, "rule_values": list(rule.values), "rule_threshold": rule.threshold}


def _names(found: DiscoveredDataset, meaning: LabelMapping) -> list[str]:
    """Names of the classes of pixels, background first; masks of differing habits have no one rule."""
    if meaning.rule:
        return list(class_names(meaning.rule, found.mask_names))
    if meaning.classes == 2:
        return ["background", "foreground"]
    return ["background", *(f"class {label}" for label in range(1, meaning.classes))]


def _components(mask: MeasuredMask, meaning: LabelMapping) -> int | None:
    """Regions of the object; of a mask that is inverted, of what it shows as background."""
    if (mask.row, mask.reader) in meaning.inverted:
        return mask.facts.gaps
    return mask.facts.components


def _disagreement(facts: Sequence[CaseFacts], meaning: LabelMapping) -> dict[str, Any]:
    agreements = agreements_of(facts, meaning)
    if not agreements:
        masks = chain.from_iterable(fact.masks for fact in facts)
        outlines = [mask.outline for mask in masks if mask is not None and mask.outline]
        pixels = median(outlines) if outlines else 0
        return {"dice": None, "pixels": pixels, "some_empty": None, "source": "outline"}
    return {
        "dice": float(np.mean([agreement.dice for agreement in agreements])),
        "pixels": median(agreement.mean_differing for agreement in agreements),
        "some_empty": float(np.mean([agreement.is_partly_empty for agreement in agreements])),
        "source": "readers",
    }


def _of_copies(copies: Copies) -> dict[str, int]:
    return {
        "exact": len(copies.exact),
        "exact_cases": sum(map(len, copies.exact)),
        "near": len(copies.near),
        "near_cases": sum(map(len, copies.near)),
    }


def _recommendations(entry: Mapping[str, Any]) -> Iterator[str]:
    """What follows from the numbers, in sentences."""
    if entry["sizes"]:
        yield from _about_sizes(entry["sizes"])
    if entry["modality"] == "ct":
        yield "Choose a window in Hounsfield units for what is to be seen, e.g. -1000,400 for lungs."
    if not entry["patients"] and entry["cases"] > 1:
        yield "No patients are named: if one patient has several images, say so with --group-by."
    if entry["imbalance"] and entry["imbalance"] >= 2:
        yield f"The largest class has {entry['imbalance']:.3g} times the images of the smallest: generate the missing."
    if entry["disagreement"] and entry["disagreement"]["source"] == "readers":
        dice = entry["disagreement"]["dice"]
        yield f"Readers agree with a Dice of {dice:.2f}: no model can be expected to score much higher against one."
    foreground = list(entry["mask_classes"].values())[1:]
    smallest = min((of_class["share"] for of_class in foreground), default=1.0)
    if smallest < 0.01:
        yield f"The smallest class covers {smallest:.2%} of the pixels: crop around it, or keep the Dice loss."
    if entry["duplicates"]["exact"] or entry["duplicates"]["near"]:
        yield "Copies of pictures are kept in one split by prepare; remove those that are not wanted."


def _about_sizes(sizes: Mapping[str, Any]) -> Iterator[str]:
    height, width = sizes["median"]
    side = min(256, 2 ** round(math.log2(max(16, (height * width) ** 0.5))))
    yield f"Train at {side} x {side}: the median image is {width} x {height}."
    (least_height, least_width), (most_height, most_width) = sizes["min"], sizes["max"]
    if len(sizes["histogram"]) > 1 and most_height * least_width != most_width * least_height:
        yield "Keep the aspect (--keep-aspect): the images have several shapes."
