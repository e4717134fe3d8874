"""What answers that never change reach: models that are no better have learnt nothing that more images could help.

A classifier that says the same of every image has an AUROC of 1/2 and a balanced accuracy of 1 / classes; a segmenter
that draws the same mask the Dice of the best such mask (`tasks.constant_mask`).
"""

from typing import NamedTuple

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.evaluation.prove.job import DownstreamTask
from sfumato.evaluation.prove.train import Answers
from sfumato.tasks.constant_mask import best_constant_mask


class ConstantAnswer(NamedTuple):
    """Answers that never change.

    Attributes:
        what: in words.
        answers: in the form of those of a model.
    """

    what: str
    answers: Answers


def constant_answer(dataset: Dataset, task: DownstreamTask) -> ConstantAnswer:
    """The best that can be said of every test case of the mixture alike."""
    rows = dataset.rows("test")
    if task == "classify":
        classes = len(dataset.spec.classes)
        return ConstantAnswer("always saying the same class", np.full((len(rows), classes), 1 / classes))
    mask = best_constant_mask(dataset, rows)
    foreground = len(dataset.spec.mask_classes) - 1
    return ConstantAnswer(f"{mask.name}, in every image", np.repeat(mask.scores[:, None], foreground, axis=1))
