"""Images are drawn until they are no copies: each is compared with the training images before it is kept.

An image that copies a training image is drawn again from another seed, and so on `SEEDS_TRIED` times; then it is left
out. The further seeds follow from the first one, so which image an item becomes does not depend on the batch, the
process or the order of the work.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.spec import Spec
from sfumato.errors import UsageError
from sfumato.evaluation.copies import CopyDetector, CopyVerdict
from sfumato.experiment.inference import GeneratedImage, SampleRequest
from sfumato.randomness import derive_seed
from sfumato.wording import counted

SEEDS_TRIED = 10
"""Seeds that are spent on an image, the first one included."""

_Draw = Callable[[Sequence[SampleRequest]], Iterator[GeneratedImage]]


class _Seen(NamedTuple):
    """A seed that was tried, and what the detector said of its image, see `columns`; nothing without a detector."""

    seed: int
    said: Mapping[str, str]


class Outcome(NamedTuple):
    """What became of one item.

    Attributes:
        wanted: the item, with the seed of the image that was kept, or of the last one.
        said: of that image, see `columns`.
        rejected: the copies before it.
        kept: whether there is an image; else it was a copy too, and no seed was left.
    """

    wanted: SampleRequest
    said: Mapping[str, str] = {}
    rejected: tuple[_Seen, ...] = ()
    kept: bool = True

    def facts(self) -> dict[str, Any]:
        """For the ledger; nothing without a detector."""
        if not self.said:
            return {}
        seen = [[each.seed, dict(each.said)] for each in self.rejected]
        return {"seed": self.wanted.seed, "said": self.said, "rejected": seen, "kept": self.kept}

    @classmethod
    def of(cls, wanted: SampleRequest, facts: Mapping[str, Any]) -> "Outcome":
        """From the ledger."""
        if "said" not in facts:
            return cls(wanted)
        rejected = tuple(_Seen(seed, said) for seed, said in facts["rejected"])
        return cls(wanted._replace(seed=facts["seed"]), facts["said"], rejected, facts["kept"])


class _Drawn(NamedTuple):
    """An outcome with its image."""

    outcome: Outcome
    made: GeneratedImage


def build_detector(dataset: Path, model: Spec, *, device: str) -> CopyDetector:
    """What compares images with the training split of a prepared data set.

    Raises:
        UsageError: it is of another form than the model's images.
    """
    opened = Dataset.open(dataset)
    check_form(opened.spec, model, dataset)
    return CopyDetector.of(opened, device=device)


def check_form(data: Spec, model: Spec, dataset: Path) -> None:
    """Images of a data set and of a model can be laid side by side only if they have one form.

    Raises:
        UsageError: with what differs.
    """
    ours, theirs = _form(model), _form(data)
    different = [f"{name}: {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]]
    if different:
        raise UsageError(
            f"the images of {dataset} have another form than those of the model: {'; '.join(different)}",
            expected="a dataset of the form that the model was trained on",
            remedy=f"sfumato prepare SOURCE --size {'x'.join(map(str, model.common_size))}, with the same intensities",
        )


def _form(spec: Spec) -> dict[str, object]:
    low, high = round(spec.intensity.low, 6), round(spec.intensity.high, 6)
    return {"size": spec.common_size, "channels": spec.channels, "intensities": (spec.intensity.kind, low, high)}


def draw_kept(
    draw: _Draw, wanted: Sequence[SampleRequest], detector: CopyDetector | None, *, batch: int
) -> Iterator[_Drawn]:
    """Every item as soon as its fate is known: kept, or left out after `SEEDS_TRIED` copies.

    Args:
        draw: makes images.
        wanted: the items.
        detector: what compares them; None for no comparison.
        batch: images compared at once.
    """
    if detector is None:
        yield from (_Drawn(Outcome(made.wanted), made) for made in draw(wanted))
        return
    waiting = deque(Outcome(item) for item in wanted)
    while waiting:
        chunk = [waiting.popleft() for _ in range(min(batch, len(waiting)))]
        made = list(draw([outcome.wanted for outcome in chunk]))
        verdicts = detector.find_copies(np.stack([each.image for each in made]))
        for before, each, verdict in zip(chunk, made, verdicts, strict=True):
            after = before._replace(said=columns(verdict), kept=not verdict.copy)
            if after.kept or len(after.rejected) + 1 == SEEDS_TRIED:
                yield _Drawn(after, each)
            else:
                waiting.appendleft(_again(after))


def _again(outcome: Outcome) -> Outcome:
    """The next seed of an item, after the copy that the last one gave."""
    rejected = (*outcome.rejected, _Seen(outcome.wanted.seed, outcome.said))
    seed = derive_seed(rejected[0].seed, "again", len(rejected))
    return Outcome(outcome.wanted._replace(seed=seed), rejected=rejected)


def columns(verdict: CopyVerdict) -> dict[str, str]:
    """A verdict as a row has it: yes, no, or nothing where no verdict is possible."""
    return {
        "copy_score": f"{verdict.score:.4f}",
        "nearest_real": verdict.nearest,
        "copy_view": verdict.view,
        "copy": verdict.said,
    }


def rejections(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Every copy that was rejected, as a row of a table."""
    rows: list[dict[str, object]] = []
    for outcome in outcomes:
        copies = list(outcome.rejected)
        if not outcome.kept:
            copies.append(_Seen(outcome.wanted.seed, outcome.said))
        about = {"number": f"{outcome.wanted.number:06}", "label": outcome.wanted.label or ""}
        rows += [{**about, "seed": seen.seed, **seen.said} for seen in copies]
    return rows


def rejection_sentence(outcomes: Sequence[Outcome], detector: CopyDetector) -> str:
    """What the comparison found, in a sentence or two."""
    if detector.threshold is None:
        compared = counted(len(outcomes), "image was", "images were")
        return f"{compared} compared with the training images; no verdict is possible: {detector.why}"
    missing = [outcome for outcome in outcomes if not outcome.kept]
    rejected = len(rejections(outcomes))
    if not rejected:
        found = f"None of {counted(len(outcomes), 'image')} scores as a copy; that is no proof that there is none."
        return f"{found} Threshold: {detector.why}."
    copies = counted(rejected, "image scored as a copy and was", "images scored as copies and were")
    kept = counted(len(outcomes) - len(missing), "is", "are")
    return f"{copies} rejected; {kept} kept.{_left_out(missing)} Threshold: {detector.why}."


def _left_out(missing: Sequence[Outcome]) -> str:
    """The items that have no image."""
    if not missing:
        return ""
    names = ", ".join(f"{outcome.wanted.number:06}" for outcome in missing[:10])
    if len(missing) > 10:
        names += ", ..."
    left_out = counted(len(missing), "is", "are")
    return f" {left_out} left out: all their {SEEDS_TRIED} seeds gave copies ({names})."
