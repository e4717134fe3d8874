"""What each number is called and what it means, in one sentence."""

MEANING = {
    "dice": "Overlap of prediction and reference: 1 = the same region, 0 = nothing in common.",
    "iou": "Stricter overlap, shared area over joint area: 1 = the same region.",
    "dice_in_reference": "Dice over the cases that do have the object: healthy cases cannot lift it.",
    "iou_in_reference": "IoU over the cases that do have the object.",
    "dice_nnunet": "Dice without the cases where both masks are empty, as nnU-Net reports it.",
    "sensitivity": "Share of the cases with the object in which some of it was found: 1 = none missed.",
    "specificity": "Share of the cases without the object in which nothing was claimed: 1 = no false alarm.",
    "hd95": "Distance between the outlines, all but the worst 5 %: 0 = they coincide.",
    "assd": "Mean distance between the outlines: 0 = they coincide.",
    "nsd": "Share of the outline within the tolerance: 1 = all of it.",
    "brier": "Squared error of the probabilities: 0 = certain and right.",
    "nll": "Surprise about the truth: 0 = certain and right; confident errors cost most.",
    "ece": "Gap between confidence and accuracy: 0 = the probabilities mean what they say.",
    "ece_foreground": "The same gap around the object only, where the decisions are made.",
    "ged_v": "Distance between the ensemble and the readers: read it with the number of members.",
    "ged_u": "The same distance without the bias of few members: 0 = they vary as the readers do.",
    "matched_iou": "IoU after pairing members with readers: 1 = every reader is met.",
    "area": "Share of the image that is foreground.",
    "uncertainty": "Mean entropy around the predicted object: 0 = sure, 1 = no idea.",
    "agreement": "Mean Dice between members of the ensemble: 1 = they all agree.",
    "information": "Mutual information around the predicted object: 0 = all members say the same.",
    "network_calls": "Forward passes of the network that one case took.",
    "seconds": "Time that one case took.",
    "loss_held_out": "The loss on images that training never saw: when it rises, the model begins to copy.",
    "loss_train": "The same on images of the training split.",
    "gap": "Held-out loss less training loss: it grows when training images are learned by heart.",
    "kid": "Distance of drawn images to held-out ones: 0 = alike, and slightly below 0 at times.",
    "loss": "What training makes small; only its course can be read, not its size.",
}


def meaning(name: str) -> str:
    """The sentence for a metric, or nothing for a name that is not known here."""
    return MEANING.get(name.lower(), "")


def heading(metric: str) -> str:
    """The name of a metric as a person writes it."""
    return {"dice": "Dice", "iou": "IoU"}.get(metric.lower(), metric.replace("_", " "))
