"""What each number is called and what it means, in one sentence."""

from collections.abc import Mapping
from typing import Any

MEANING = {
    "dice": "Overlap of prediction and reference: 1 = the same region, 0 = nothing in common.",
    "iou": "Stricter overlap, shared area over joint area: 1 = the same region.",
    "dice_in_reference": "Dice over the cases that do have the object: healthy cases cannot lift it.",
    "iou_in_reference": "IoU over the cases that do have the object.",
    "dice_nnunet": "Dice without the cases where both masks are empty, as nnU-Net reports it.",
    "presence_sensitivity": "Share of the cases with the object in which some of it was found: 1 = none missed.",
    "presence_specificity": "Share of the cases without the object in which nothing was claimed: 1 = no false alarm.",
    "sensitivity": "Share of the object's pixels that were found, over the cases that have it: 1 = all of it.",
    "specificity": "Share of the other pixels that were left out: nearly 1 wherever the object is small.",
    "volume_difference": "Predicted size less true size: 0 = right on average, though errors may cancel.",
    "relative_volume_difference": "The same in shares of the true size, over the cases that have the object.",
    "hd95": "Distance between the outlines, all but the worst 5 %: 0 = they coincide.",
    "assd": "Mean distance between the outlines: 0 = they coincide.",
    "nsd": "Share of the outline within the tolerance: 1 = all of it.",
    "brier": "Squared error of the probabilities: 0 = certain and right.",
    "nll": "Surprise about the truth: 0 = certain and right; confident errors cost most.",
    "ece": "Gap between confidence and accuracy: 0 = the probabilities mean what they say.",
    "ece_foreground": "The same gap around the object only, where the decisions are made.",
    "ged_v": "Distance between the ensemble and the readers: read it with the number of members.",
    "ged_u": "The same distance without the bias of few members: 0 = they vary as the readers do.",
    "ged_v_floor": "What drawing from the readers themselves would give with as many members.",
    "diversity": "Mean distance 1 - IoU of two members: compare it with that of two readers.",
    "d_max": "Mean Dice of each reader's closest member: grows with the number of members.",
    "collective_insight": "Combines union sensitivity, closest member and diversity (CIMD): for comparison only.",
    "auroc": "Chance that a case of the class scores above one that is not: 0.5 = knows nothing; needs no threshold.",
    "balanced_accuracy": "Mean share of each class that is found: with two classes 0.5 = always the same answer.",
    "error_auroc": "Chance that a wrong pixel is more uncertain than a right one: 0.5 = knows nothing.",
    "error_aupr": "Precision at which uncertainty finds wrong pixels: read it beside their share.",
    "expected_error": "1 - Dice as the validation cases lead one to expect.",
    "hm_iou": "IoU after pairing members with readers: 1 = every reader is met.",
    "area": "Share of the image that is foreground.",
    "uncertainty": "Mean entropy around the predicted object: 0 = sure, 1 = no idea.",
    "agreement": "Mean Dice between members of the ensemble: 1 = they all agree.",
    "information": "Mutual information around the predicted object: 0 = all members say the same.",
    "network_calls": "Forward passes of the network that one case took.",
    "seconds": "Time that one case took.",
    "loss_held_out": "The loss on images that training never saw: when it rises, the model learns them by heart.",
    "loss_train": "The same on images of the training split.",
    "gap": "Held-out loss less training loss: it grows when training images are learned by heart.",
    "kid": "Distance of drawn images to held-out ones: 0 = alike, and slightly below 0 at times.",
    "kid_of_training": "The same distance of training images to the held-out ones: no model is expected to be nearer.",
    "frechet": "Distance of means and covariances: above 0 even for real images, the more the fewer there are.",
    "frechet_reference": "The same distance to the statistics of a file; it depends on the number of images.",
    "precision": "Share of the generated images that lie among real ones: low = some look like none.",
    "recall": "Share of the real images that lie among generated ones: low = a part is never made.",
    "density": "How densely generated images lie where real ones are: 1 = as densely.",
    "coverage": "Share of the real images with a generated one close by: low = a part is never made.",
    "ms_ssim": "Similarity of pairs within the set: above that of real images = less diverse.",
    "duplicates": "Share of images with a near duplicate in the set.",
    "inception_score": "Do images look clearly like one class, and do all classes occur? Higher = more so.",
    "loss": "What training makes small; only its course can be read, not its size.",
}

GROUPS = {
    "Overlap": ("dice", "iou", "sensitivity", "specificity"),
    "Outline": ("hd95", "assd", "nsd"),
    "Size": ("volume_difference", "relative_volume_difference"),
    "Calibration": ("brier", "nll", "ece", "ece_foreground"),
    "Uncertainty": ("error_auroc", "error_aupr", "expected_error", "uncertainty", "information", "agreement"),
    "Readers": ("ged_v", "ged_u", "ged_v_floor", "hm_iou", "diversity", "d_max", "collective_insight"),
}
"""Scores of masks by the question that they answer, in the order in which they are shown."""

NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95",
    "assd": "ASSD",
    "nsd": "NSD",
    "sensitivity": "pixel sensitivity",
    "specificity": "pixel specificity",
    "relative_volume_difference": "relative volume diff.",
    "brier": "Brier",
    "nll": "NLL",
    "ece": "ECE",
    "ece_foreground": "ECE around the object",
    "auroc": "AUROC",
    "error_auroc": "AUROC of wrong pixels",
    "error_aupr": "AUPR of wrong pixels",
    "ged_v": "GED² (V)",
    "ged_u": "GED² (U)",
    "ged_v_floor": "GED² (V) if perfect",
    "hm_iou": "HM-IoU",
    "d_max": "D max",
    "kid": "KID",
    "kid_of_training": "KID of training images",
    "frechet": "Fréchet distance",
    "frechet_reference": "Fréchet distance to the reference file",
    "ms_ssim": "MS-SSIM",
    "loss_held_out": "held-out loss",
    "loss_train": "training loss",
}
"""How a person writes the names of scores; others by their words."""


def meaning(name: str) -> str:
    """The sentence for a metric, or nothing for a name that is not known here."""
    return MEANING.get(name.lower(), "")


def titled(metric: str, summary: Mapping[str, Any]) -> str:
    """The name of a score with its unit.

    Args:
        metric: its name.
        summary: of the evaluation, which knows the units; those that it does not know are left out.
    """
    length, volume = summary.get("length", ""), summary.get("volume", "")
    if metric in ("hd95", "assd") and length:
        return f"{heading(metric)} ({length})"
    if metric == "nsd" and length:
        return f"{heading(metric)} at {summary['tolerance']:g} {length}"
    return f"{heading(metric)} ({volume})" if metric == "volume_difference" and volume else heading(metric)


def heading(metric: str) -> str:
    """The name of a metric as a person writes it."""
    return NAMES.get(metric.lower(), metric.replace("_", " "))
