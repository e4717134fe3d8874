"""What is trained in a proof: classifiers of whole images, or segmenters. Data that have classes and masks allow both.

Where the person does not say, segmenters are trained if REAL and SAMPLES both have masks, and classifiers otherwise;
a flag that is about classes asks for classifiers.
"""

from typing import Literal, NamedTuple

from sfumato.data.source import DiscoveredDataset
from sfumato.data.spec import Spec

DownstreamTask = Literal["classify", "segment"]


class Decision(NamedTuple):
    """What is trained.

    Attributes:
        job: classifiers or segmenters.
        why: in a sentence, where the data allow both; else empty.
    """

    job: DownstreamTask
    why: str = ""


def decide_job(real: Spec, samples: DiscoveredDataset, *, flag: str = "") -> Decision:
    """What is trained, where the person does not say.

    Args:
        real: of the dataset of real images.
        samples: the synthetic cases.
        flag: what the person gave that is about classes, such as --balance; empty for nothing.
    """
    if not real.has_masks:
        return Decision("classify")
    if len(real.classes) < 2:
        return Decision("segment")
    if flag:
        return Decision("classify", f"classifiers are trained, as {flag} is about classes")
    if not samples.has_masks:
        return Decision("classify", "classifiers are trained, as SAMPLES has no masks")
    return Decision(
        "segment", "segmenters are trained, as REAL and SAMPLES have masks; --task classify trains classifiers"
    )
