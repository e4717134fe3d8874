"""What is trained in a proof: classifiers of whole images, or segmenters. Data that have classes and masks allow both.

Where the person does not say, segmenters are trained if REAL and SAMPLES both have masks, and classifiers otherwise;
what is said about classes (`by_class`) asks for classifiers.
"""

from typing import Literal, NamedTuple

from sfumato.data.source import Found
from sfumato.data.spec import Spec

Job = Literal["classify", "segment"]


class Decision(NamedTuple):
    """What is trained.

    Attributes:
        job: classifiers or segmenters.
        why: in a sentence, where the data allow both; else empty.
    """

    job: Job
    why: str = ""


def decide_job(real: Spec, samples: Found, *, by_class: bool) -> Decision:
    """What is trained, where the person does not say.

    Args:
        real: of the dataset of real images.
        samples: the synthetic cases.
        by_class: another wish of the person's is about classes.
    """
    if not real.has_masks:
        return Decision("classify")
    if len(real.classes) < 2:
        return Decision("segment")
    if by_class or not samples.has_masks:
        why = "what was asked for is about classes" if by_class else "SAMPLES has no masks"
        return Decision("classify", f"classifiers are trained, as {why}; --task segment trains segmenters")
    return Decision("segment", "segmenters are trained, as REAL and SAMPLES have masks; --task classify: classifiers")
