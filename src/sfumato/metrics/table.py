"""Every number that sfumato reports, by its name in files: what it is called, its unit, which is better, what it means.

Console, page, summary and documentation read this table and know no number by themselves. A score of masks has its
function here too: adding one is an entry here, beside the function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sfumato.metrics import overlap, surface
from sfumato.metrics.overlap import Classes, Counts
from sfumato.metrics.surface import MaskPair

_Subject = Literal[
    "masks", "mask summaries", "case", "doubt", "order", "prediction", "classifier", "images", "training"
]
"""What a number is about; see `SUBJECTS`."""

_Unit = Literal["", "length", "volume", "share", "seconds"]
"""Of a number: none; millimetres or pixels; their square or cube; from 0 to 1 of all; seconds."""

Better = Literal["higher", "lower", "nearer 0", "neither"]

POOLED, MATCHED = "(all)", "(all, classes as in the samples)"
"""Groups of images in `metrics.csv` that are whole sets: as they are, and drawn in the class shares of the samples."""

SUBJECTS: Mapping[_Subject, str] = {
    "masks": "Masks, for each case and class: `--metrics` of `sfumato evaluate masks`",
    "mask summaries": "Masks, over the cases: in the `summary.json` of `sfumato evaluate masks`",
    "case": "Probabilities, uncertainty and readers, for each case",
    "doubt": "What a model says of its own masks: columns of the manifest of `sfumato segment`",
    "order": "The order of review",
    "prediction": "Other columns of the manifest of `sfumato segment`",
    "classifier": "Classifiers: `sfumato prove`",
    "images": "Sets of images: `sfumato evaluate images`",
    "training": "Validation while a model is trained",
}


@dataclass(frozen=True)
class OfCounts:
    """A score made of counted pixels.

    Attributes:
        score: of all foreground classes; of empty masks too.
    """

    score: Callable[[Counts], Classes]


@dataclass(frozen=True, kw_only=True)
class OfPair:
    """A score of two masks that both have the class; one whose rule differs by which of the two is empty is `OfCounts`.

    Attributes:
        score: of the two.
        neither: what counts where neither has it.
        one: what counts where one of the two has it; None: the diagonal of the image, the worst distance there is.
    """

    score: Callable[[MaskPair], float]
    neither: float
    one: float | None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number.

    Attributes:
        of: what it is about.
        meaning: one sentence, for a person who does not know it.
        better: the higher or the lower one; that nearer to 0, of errors with a sign; neither, where it is only read
            beside another number.
        where: the function that computes it, below `sfumato`.
        title: how a person writes its name; "": as words.
        words: what a sentence calls it at first, where its title is short for that.
        unit: of the number.
        group: of scores of masks, the question that they answer.
        within: whether it holds at a tolerance, which its title tells.
        by_group: whether tables of groups of cases on the console show it.
        equal_members: whether ensembles are compared by it at equal numbers of members only.
        score: of masks, how it is computed.
    """

    of: _Subject
    meaning: str
    better: Better
    where: str
    title: str = ""
    words: str = ""
    unit: _Unit = ""
    group: str = ""
    within: bool = False
    by_group: bool = False
    equal_members: bool = False
    score: OfCounts | OfPair | None = None


def _reader_coverage(level: int) -> Metric:
    """The share of readers within the members' central interval of a level, in per cent."""
    return Metric(
        of="case",
        title=f"reader coverage {level} %",
        unit="share",
        better="neither",
        meaning=f"Share of readers whose size of the object lies in the members' central {level} %: see the exact.",
        group="Size and presence",
        equal_members=True,
        where="metrics.reader_calibration.reader_coverage",
    )


def _exact_coverage(level: int) -> Metric:
    """The same of a sampler whose draws are as the readers."""
    return Metric(
        of="case",
        title=f"reader coverage {level} % if exact",
        unit="share",
        better="neither",
        meaning=f"What as many draws of the readers' own distribution would cover: too few cannot reach {level} %.",
        group="Size and presence",
        equal_members=True,
        where="metrics.reader_calibration.exact_coverage",
    )


METRIC_TABLE: Mapping[str, Metric] = {
    "dice": Metric(
        of="masks",
        title="Dice",
        better="higher",
        meaning="Overlap of prediction and reference: 1 = the same region, 0 = nothing in common.",
        group="Overlap",
        by_group=True,
        score=OfCounts(overlap.dice),
        where="metrics.overlap.dice",
    ),
    "iou": Metric(
        of="masks",
        title="IoU",
        better="higher",
        meaning="Stricter overlap, shared area over joint area: 1 = the same region.",
        group="Overlap",
        score=OfCounts(overlap.iou),
        where="metrics.overlap.iou",
    ),
    "hd95": Metric(
        of="masks",
        title="HD95",
        unit="length",
        better="lower",
        meaning="Distance between the outlines, all but the worst 5 %: 0 = they coincide.",
        group="Outline",
        by_group=True,
        score=OfPair(score=lambda pair: surface.hd95(pair.distances), neither=0.0, one=None),
        where="metrics.surface.hd95",
    ),
    "assd": Metric(
        of="masks",
        title="ASSD",
        unit="length",
        better="lower",
        meaning="Mean distance between the outlines: 0 = they coincide.",
        group="Outline",
        score=OfPair(score=lambda pair: surface.assd(pair.distances), neither=0.0, one=None),
        where="metrics.surface.assd",
    ),
    "nsd": Metric(
        of="masks",
        title="NSD",
        better="higher",
        meaning="Share of the outline within the tolerance: 1 = all of it.",
        group="Outline",
        within=True,
        by_group=True,
        score=OfPair(
            score=lambda pair: surface.nsd(
                pair.prediction, pair.reference, tolerance=pair.tolerance, spacing=pair.spacing
            ),
            neither=1.0,
            one=0.0,
        ),
        where="metrics.surface.nsd",
    ),
    "sensitivity": Metric(
        of="masks",
        title="pixel sensitivity",
        unit="share",
        better="higher",
        meaning="Share of the object's pixels that were found, over the cases that have it: 1 = all of it.",
        group="Overlap",
        score=OfCounts(overlap.sensitivity),
        where="metrics.overlap.sensitivity",
    ),
    "specificity": Metric(
        of="masks",
        title="pixel specificity",
        unit="share",
        better="higher",
        meaning="Share of the other pixels that were left out: nearly 1 wherever the object is small.",
        group="Overlap",
        score=OfCounts(overlap.specificity),
        where="metrics.overlap.specificity",
    ),
    "volume_difference": Metric(
        of="masks",
        unit="volume",
        better="nearer 0",
        meaning="Predicted size less true size: 0 = right on average, though errors may cancel.",
        group="Size",
        score=OfCounts(overlap.volume_difference),
        where="metrics.overlap.volume_difference",
    ),
    "relative_volume_difference": Metric(
        of="masks",
        title="relative volume diff.",
        better="nearer 0",
        meaning="The same in shares of the true size, over the cases that have the object.",
        group="Size",
        score=OfCounts(overlap.relative_volume_difference),
        where="metrics.overlap.relative_volume_difference",
    ),
    "dice_in_reference": Metric(
        of="mask summaries",
        better="higher",
        meaning="Dice over the cases that do have the object: healthy cases cannot lift it.",
        where="evaluation.masks.summary.summarise_evaluation",
    ),
    "iou_in_reference": Metric(
        of="mask summaries",
        better="higher",
        meaning="IoU over the cases that do have the object.",
        where="metrics.overlap.summarise_overlap",
    ),
    "dice_nnunet": Metric(
        of="mask summaries",
        better="higher",
        meaning="Dice without the cases where both masks are empty, as nnU-Net reports it.",
        where="evaluation.masks.summary.summarise_evaluation",
    ),
    "presence_sensitivity": Metric(
        of="mask summaries",
        unit="share",
        better="higher",
        meaning="Share of the cases with the object in which some of it was found: 1 = none missed.",
        where="metrics.interval.share_interval",
    ),
    "presence_specificity": Metric(
        of="mask summaries",
        unit="share",
        better="higher",
        meaning="Share of the cases without the object in which nothing was claimed: 1 = no false alarm.",
        where="metrics.interval.share_interval",
    ),
    "presence_ece": Metric(
        of="mask summaries",
        title="ECE of presence",
        better="lower",
        meaning="Gap between the share of members and of readers that have the object, in five bins: 0 = calibrated.",
        where="metrics.reader_calibration.presence_ece",
    ),
    "brier": Metric(
        of="case",
        title="Brier",
        better="lower",
        meaning="Squared error of the probabilities: 0 = certain and right.",
        group="Calibration",
        where="metrics.calibration.brier",
    ),
    "nll": Metric(
        of="case",
        title="NLL",
        better="lower",
        meaning="Surprise about the truth: 0 = certain and right; confident errors cost most.",
        group="Calibration",
        where="metrics.calibration.nll",
    ),
    "ece": Metric(
        of="case",
        title="ECE",
        better="lower",
        meaning="Gap between confidence and accuracy: 0 = the probabilities mean what they say.",
        group="Calibration",
        where="metrics.calibration.ece",
    ),
    "ece_foreground": Metric(
        of="case",
        title="ECE around the object",
        better="lower",
        meaning="The same gap around the object only, where the decisions are made.",
        group="Calibration",
        where="metrics.calibration.calibration",
    ),
    "error_auroc": Metric(
        of="case",
        title="AUROC of wrong pixels",
        better="higher",
        meaning="Chance that a wrong pixel is more uncertain than a right one: 0.5 = knows nothing.",
        group="Uncertainty",
        where="metrics.classification.area_under_roc",
    ),
    "error_aupr": Metric(
        of="case",
        title="AUPR of wrong pixels",
        better="higher",
        meaning="Precision at which uncertainty finds wrong pixels: read it beside their share.",
        group="Uncertainty",
        where="metrics.selective.average_precision",
    ),
    "ged_v": Metric(
        of="case",
        title="GED² (V)",
        better="lower",
        meaning="Distance between the ensemble and the readers: read it with the number M of members.",
        group="Readers",
        equal_members=True,
        where="metrics.ensemble.ged",
    ),
    "ged_u": Metric(
        of="case",
        title="GED² (U)",
        better="lower",
        meaning="The same distance without the bias of few members: 0 = they vary as the readers do.",
        group="Readers",
        where="metrics.ensemble.ged",
    ),
    "ged_v_floor": Metric(
        of="case",
        title="GED² (V) if perfect",
        better="neither",
        meaning="What drawing from the readers themselves would give with as many members.",
        group="Readers",
        equal_members=True,
        where="metrics.ensemble.ged",
    ),
    "hm_iou": Metric(
        of="case",
        title="HM-IoU",
        better="higher",
        meaning="IoU after pairing members with readers, both repeated to one number: 1 = every reader is met.",
        group="Readers",
        equal_members=True,
        where="metrics.ensemble.matched_iou",
    ),
    "diversity": Metric(
        of="case",
        better="neither",
        meaning="Mean distance 1 - IoU of two members: compare it with that of two readers.",
        group="Readers",
        where="metrics.ensemble.ged",
    ),
    "d_max": Metric(
        of="case",
        title="D max",
        better="higher",
        meaning="Mean Dice of each reader's closest member: grows with the number of members.",
        group="Readers",
        equal_members=True,
        where="metrics.ensemble.collective_insight",
    ),
    "collective_insight": Metric(
        of="case",
        better="higher",
        meaning="Combines union sensitivity, closest member and diversity (CIMD): for comparison only.",
        group="Readers",
        equal_members=True,
        where="metrics.ensemble.collective_insight",
    ),
    "reader_coverage_50": _reader_coverage(50),
    "reader_coverage_50_exact": _exact_coverage(50),
    "reader_coverage_80": _reader_coverage(80),
    "reader_coverage_80_exact": _exact_coverage(80),
    "reader_coverage_95": _reader_coverage(95),
    "reader_coverage_95_exact": _exact_coverage(95),
    "presence_brier": Metric(
        of="case",
        title="Brier of presence",
        better="lower",
        meaning="Squared error of the share of members that have the object, against each reader: 0 = all agree.",
        group="Size and presence",
        equal_members=True,
        where="metrics.reader_calibration.presence_brier",
    ),
    "presence_brier_exact": Metric(
        of="case",
        title="Brier of presence if exact",
        better="neither",
        meaning="What drawing from the readers themselves would give with as many members.",
        group="Size and presence",
        equal_members=True,
        where="metrics.reader_calibration.exact_presence_brier",
    ),
    "presence_gap": Metric(
        of="case",
        title="presence, members less readers",
        better="nearer 0",
        meaning="Share of members that have the object less that of readers: above 0 = it is claimed too often.",
        group="Size and presence",
        where="metrics.reader_calibration",
    ),
    "expected_error": Metric(
        of="doubt",
        better="neither",
        meaning="1 - Dice as the validation cases lead one to expect.",
        group="Uncertainty",
        where="evaluation.review",
    ),
    "uncertainty": Metric(
        of="doubt",
        better="neither",
        meaning="Mean entropy around the predicted object: 0 = sure, 1 = no idea.",
        group="Uncertainty",
        where="metrics.ensemble.image_uncertainty",
    ),
    "information": Metric(
        of="doubt",
        better="neither",
        meaning="Mutual information around the predicted object: 0 = all members say the same.",
        group="Uncertainty",
        where="metrics.ensemble.mutual_information",
    ),
    "agreement": Metric(
        of="doubt",
        title="Dice between members",
        better="neither",
        meaning="Expected Dice between two members of the ensemble: 1 = they all agree.",
        group="Uncertainty",
        where="metrics.ensemble.agreement",
    ),
    "review_rank": Metric(
        of="doubt",
        better="neither",
        meaning="Place in the order of review: 1 = look at it first.",
        where="metrics.ensemble.review_rank",
    ),
    "aurc": Metric(
        of="order",
        title="AURC",
        better="lower",
        meaning="Mean error of the cases kept, over all coverages: read it between the best and the random order's.",
        where="metrics.selective.risk_coverage",
    ),
    "spearman": Metric(
        of="order",
        title="Spearman",
        better="higher",
        meaning="Correlation of the order of review with that of the errors: 0 = knows nothing.",
        where="metrics.selective.spearman",
    ),
    "area": Metric(
        of="prediction",
        unit="share",
        better="neither",
        meaning="Share of the image that is foreground.",
        where="outputs.predictions",
    ),
    "presence_probability": Metric(
        of="prediction",
        unit="share",
        better="neither",
        meaning="Probability that the class is there at all: the share of members that have a pixel of it.",
        where="metrics.size.size_distribution",
    ),
    "expected_size": Metric(
        of="prediction",
        unit="volume",
        better="neither",
        meaning="Area or volume of the class, mean over the members, in the unit of size_unit.",
        where="metrics.size.size_distribution",
    ),
    "size_low": Metric(
        of="prediction",
        unit="volume",
        better="neither",
        meaning="Lower end of the central 80 % of the members' areas or volumes.",
        where="metrics.size.size_distribution",
    ),
    "size_high": Metric(
        of="prediction",
        unit="volume",
        better="neither",
        meaning="Upper end of the central 80 % of the members' areas or volumes.",
        where="metrics.size.size_distribution",
    ),
    "network_calls": Metric(
        of="prediction",
        better="lower",
        meaning="Forward passes of the network that one case took.",
        where="tasks.counting",
    ),
    "draw_calls": Metric(
        of="prediction",
        better="lower",
        meaning="Calls of what draws masks from a network that saw the case once, each a small share of a pass.",
        where="experiment.mask_sampling",
    ),
    "seconds": Metric(
        of="prediction",
        unit="seconds",
        better="lower",
        meaning="Time that one case took.",
        where="verbs.segment",
    ),
    "auroc": Metric(
        of="classifier",
        title="AUROC",
        better="higher",
        meaning="Chance that a case of the class scores above one that is not: 0.5 = knows nothing; needs no "
        "threshold.",
        where="metrics.classification.auroc",
    ),
    "balanced_accuracy": Metric(
        of="classifier",
        better="higher",
        meaning="Mean share of each class that is found: with two classes 0.5 = always the same answer.",
        where="metrics.classification.balanced_accuracy",
    ),
    "kid": Metric(
        of="images",
        title="KID",
        words="kernel distance",
        better="lower",
        meaning="Distance of drawn images to held-out ones: 0 = alike, and slightly below 0 at times.",
        where="metrics.fidelity.kid",
    ),
    "kid_of_training": Metric(
        of="images",
        title="KID of training images",
        better="lower",
        meaning="The same distance of training images to the held-out ones: no model is expected to be nearer.",
        where="metrics.fidelity.kid",
    ),
    "frechet": Metric(
        of="images",
        title="Fréchet distance",
        better="lower",
        meaning="Distance of means and covariances: above 0 even for real images, the more the fewer there are.",
        where="metrics.fidelity.frechet",
    ),
    "frechet_reference": Metric(
        of="images",
        title="Fréchet distance to the reference file",
        better="lower",
        meaning="The same distance to the statistics of a file; it depends on the number of images.",
        where="metrics.fidelity.frechet_moments",
    ),
    "precision": Metric(
        of="images",
        unit="share",
        better="higher",
        meaning="Share of the generated images that lie among real ones: low = some look like none.",
        where="metrics.coverage.coverage",
    ),
    "recall": Metric(
        of="images",
        unit="share",
        better="higher",
        meaning="Share of the real images that lie among generated ones: low = a part is never made.",
        where="metrics.coverage.coverage",
    ),
    "density": Metric(
        of="images",
        better="higher",
        meaning="How densely generated images lie where real ones are: 1 = as densely.",
        where="metrics.coverage.coverage",
    ),
    "coverage": Metric(
        of="images",
        unit="share",
        better="higher",
        meaning="Share of the real images with a generated one close by: low = a part is never made.",
        where="metrics.coverage.coverage",
    ),
    "ms_ssim": Metric(
        of="images",
        title="MS-SSIM",
        better="lower",
        meaning="Similarity of pairs within the set: above that of real images = less diverse.",
        where="metrics.diversity.pair_similarities",
    ),
    "duplicates": Metric(
        of="images",
        unit="share",
        better="lower",
        meaning="Share of images with a near duplicate in the set.",
        where="metrics.diversity.alike",
    ),
    "inception_score": Metric(
        of="images",
        better="higher",
        meaning="Do images look clearly like one class, and do all classes occur? Higher = more so.",
        where="metrics.diversity.inception_score",
    ),
    "loss": Metric(
        of="training",
        better="lower",
        meaning="What training makes small; only its course can be read, not its size.",
        where="training.loop",
    ),
    "loss_held_out": Metric(
        of="training",
        title="held-out loss",
        better="lower",
        meaning="The loss on images that training never saw: when it rises, the model learns them by heart.",
        where="metrics.gap.paired_gap",
    ),
    "loss_train": Metric(
        of="training",
        title="training loss",
        better="lower",
        meaning="The same on images of the training split.",
        where="metrics.gap.paired_gap",
    ),
    "gap": Metric(
        of="training",
        better="lower",
        meaning="Held-out loss less training loss: it grows when training images are learned by heart.",
        where="metrics.gap.paired_gap",
    ),
}
"""Name in files -> number."""


def heading(name: str) -> str:
    """The name of a number as a person writes it."""
    known = METRIC_TABLE.get(name.lower())
    return name.replace("_", " ") if known is None or not known.title else known.title


def spelt_out(name: str) -> str:
    """What a sentence calls a number that is named for the first time."""
    known = METRIC_TABLE.get(name.lower())
    return heading(name) if known is None or not known.words else known.words


def is_better_lower(name: str) -> bool:
    """Whether the lower one of two numbers of this name is the better."""
    return METRIC_TABLE[name].better == "lower"


def metrics_of(subject: _Subject) -> tuple[str, ...]:
    """The numbers about a subject, in the order of the table."""
    return tuple(name for name, metric in METRIC_TABLE.items() if metric.of == subject)


SCORES: Mapping[str, OfCounts | OfPair] = {
    name: each.score for name, each in METRIC_TABLE.items() if each.score is not None
}
"""How each score of masks is computed."""

_GROUPS = ("Overlap", "Outline", "Size", "Calibration", "Uncertainty", "Readers", "Size and presence")

GROUPS: Mapping[str, tuple[str, ...]] = {
    group: tuple(name for name, metric in METRIC_TABLE.items() if metric.group == group) for group in _GROUPS
}
"""Scores of masks by the question that they answer, in the order in which they are shown."""

AUDITED = ("ged_u", "hm_iou", "nll", "ece_foreground", "error_auroc", "seconds")
"""What an audit's table has beside Dice, on the console and on the page; the page leaves out what no way has."""
