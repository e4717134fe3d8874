"""What a proof trains where nobody says it: segmenters only where both sides have masks, and then that is told."""

import pytest

from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case
from sfumato.data.source import DiscoveredDataset
from sfumato.data.spec import Spec
from sfumato.evaluation.prove.job import decide_job


def real(*, classes: int, readers: int) -> Spec:
    names = tuple("abc"[:classes])
    return Spec(size=(8, 8), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""), classes=names,
                readers=readers)  # fmt: skip


def samples(*, masks: bool) -> DiscoveredDataset:
    return DiscoveredDataset((Case(id="x", image="x.png", masks=("m.png",) if masks else ()),), (), ())


@pytest.mark.parametrize(
    ("classes", "readers", "masks", "flag", "job", "told"),
    [
        (2, 1, False, "", "classify", "SAMPLES has no masks"),
        (2, 1, True, "", "segment", "--task classify"),
        (2, 1, True, "--balance", "classify", "--balance is about classes"),
        (2, 0, True, "", "classify", ""),
        (0, 1, False, "", "segment", ""),
        (1, 1, False, "", "segment", ""),
    ],
)
def test_the_rule(classes: int, readers: int, masks: bool, flag: str, job: str, told: str) -> None:
    found = decide_job(real(classes=classes, readers=readers), samples(masks=masks), flag=flag)
    assert found.job == job and (told in found.why if told else not found.why)
