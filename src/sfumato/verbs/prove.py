"""Models trained with and without synthetic data, compared on real images."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.atomic import write_atomic
from sfumato.data.dataset import Dataset
from sfumato.data.worker_pool import WorkerPool, processors
from sfumato.errors import DataError, ModelError, UsageError, listed
from sfumato.evaluation.prove.arms import Arm, DataPool, TrainingUnit
from sfumato.evaluation.prove.job import Decision, DownstreamTask, decide_job
from sfumato.evaluation.prove.mixture import Allocation, Samples, choose_parts, mix, synthetic_cases, usable_samples
from sfumato.evaluation.prove.origin import trace
from sfumato.evaluation.prove.proof import Proof
from sfumato.evaluation.prove.train import TRAINING_BATCH, Subject, run_unit
from sfumato.experiment.sharded_job import Shard, ShardedJob, ShardTask, asked_by
from sfumato.networks.classifier import SMALL, make_classifier
from sfumato.outputs.summary import read_summary
from sfumato.progress import bar, say
from sfumato.provenance import digest, write_provenance
from sfumato.tables import write_records
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.verbs.bounds import check_workers
from sfumato.wording import counted

_STEPS: Mapping[DownstreamTask, int] = {"classify": 800, "segment": 600}
"""Half a minute of one core for each model at 32 pixels."""

RATIOS = (0.5, 1.0, 2.0)
EVERYTHING = Shard(0, 1)
MIXTURE = "mixture"


class _Question(NamedTuple):
    """What is asked, once the folders are read.

    Attributes:
        real: the folder of the real images.
        dataset: what is in it.
        parts: who is trained and tested on.
        samples: the synthetic cases.
        stock: what there is to train on.
        task: what is trained.
        units: all models to train.
        notes: what a reader must know.
    """

    real: Path
    dataset: Dataset
    parts: Allocation
    samples: Samples
    stock: DataPool
    task: DownstreamTask
    units: Mapping[str, TrainingUnit]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Proven:
    """A proof that was written.

    Attributes:
        folder: scores.csv, predictions.csv, summary.json.
        summary: what summary.json holds: each arm with intervals, the differences to its controls, what they mean.
    """

    folder: Path
    summary: Mapping[str, Any]


def prove(
    real: Path | str,
    samples: Path | str,
    *,
    out: Path | str,
    task: DownstreamTask | None = None,
    ratios: Sequence[float] | None = None,
    seeds: int = 5,
    steps: int | None = None,
    balance: bool = False,
    network: str = SMALL,
    positive: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Proven:
    """Does synthetic data help? Trains models with and without it, and tests them on real images.

    The same call again continues what was stopped: every model that is trained is kept.

    Args:
        real: the dataset of real images, with its split.
        samples: the synthetic images: a folder of `sfumato generate`, class folders, or a dataset with masks.
        out: the folder to write.
        task: classify or segment; by default segment where REAL and SAMPLES both have masks and nothing else asks for
            classes (balance, positive, network), otherwise classify.
        ratios: synthetic images for each real training image; 0.5, 1 and 2 by default.
        seeds: models of each arm: initial weights, order and draw of the images differ.
        steps: training steps of each model, the same for all.
        balance: only fill the smaller classes up to the largest, instead of ratios.
        network: the classifier: small, or timm:NAME such as timm:resnet18, from random weights.
        positive: the class whose F1 is told beside always saying it; by default the last one.
        workers: models trained at once; by default one for each core, one on a GPU.
        device: auto, cpu, cuda or cuda:N, mps.
        overwrite: replace a folder that is not empty.

    Raises:
        DataError: there are too few images, or no classes or masks to learn.
        UsageError: words exclude each other, or `out` holds something else.
        ModelError: a model answers with numbers that are not finite.
    """
    choose_device(device)
    check_workers(workers)
    real, samples, out = Path(real), Path(samples), Path(out)
    place = set_up()
    about_classes = {"--balance": balance, "--positive": positive is not None, "--network": network != SMALL}
    question = _ask(
        real,
        samples,
        task=task,
        ratios=_ratios(ratios, balance=balance),
        seeds=seeds,
        balance=balance,
        flag=next((name for name, given in about_classes.items() if given), ""),
    )
    called = _positive(question, positive)
    _check_network(question, network)
    length = steps or _STEPS[question.task]
    asked = asked_by(
        {
            "real": digest(real),
            "samples": digest(samples),
            "task": question.task,
            "ratios": ratios,
            "seeds": seeds,
            "steps": length,
            "balance": balance,
            "network": network,
            "positive": positive,
        }
    )
    work = ShardedJob(out=out, asked=asked, items=list(question.units))
    claim = work.claim(overwrite=overwrite, inputs=[real, samples])
    if claim is not None:
        with work.share(EVERYTHING) as share:
            subject = Subject(share.aside / MIXTURE, question.task, question.stock, length, network, place)
            _train(question, subject, share, workers=workers or (processors() if place == "cpu" else 1))
        with work.finishing(claim) as finished:
            if finished is not None:
                proof = _proof(question, finished.aside, positive=called, steps=length, network=network)
                _write(proof, finished.files)
                inputs = {"real": real, "samples": samples}
                write_provenance(finished.files, inputs=inputs, asked=work.asked, seeds=list(range(seeds)))
    return Proven(out, read_summary(out))


def _ratios(given: Sequence[float] | None, *, balance: bool) -> tuple[float, ...]:
    """The ratios, each once, in rising order."""
    if balance and given is not None:
        raise UsageError("--balance says how many images are added, so there are no --ratios", expected="one of both")
    numbers = sorted(set(RATIOS if given is None else given))
    if not numbers or numbers[0] <= 0:
        raise UsageError(f"--ratios {','.join(f'{n:g}' for n in numbers)}", expected="numbers above 0, like 0.5,1,2")
    return tuple(numbers)


def _ask(
    real: Path,
    samples: Path,
    *,
    task: DownstreamTask | None,
    ratios: Sequence[float],
    seeds: int,
    balance: bool,
    flag: str,
) -> _Question:
    """Read both folders and lay out the work."""
    if seeds < 2:
        raise UsageError(
            f"--seeds {seeds}", expected="2 at least: with one, the luck of a training cannot be told from an effect"
        )
    dataset = Dataset.open(real)
    made = synthetic_cases(samples, digest(real))
    job, why = Decision(task) if task else decide_job(dataset.spec, made, flag=flag)
    _check_task(dataset, job, real, balance=balance)
    classify = job == "classify"
    parts = choose_parts(dataset, by_class=classify)
    found = usable_samples(made, samples, dataset.spec, masks=not classify)
    origin = trace(samples, [dataset.cases[row] for row in parts.tested])
    stock = DataPool(
        real=[dataset.cases[row].label or "" if classify else "" for row in parts.trained],
        synthetic=[case.label or "" if classify else "" for case in found.cases],
        balance=balance,
    )
    notes = [*found.notes, *parts.notes, *stock.notes(ratios, classify=classify), origin.told]
    if why:
        notes.insert(0, why)
    units = [TrainingUnit(arm, seed) for seed in range(seeds) for arm in stock.arms(ratios)]
    for unit in units:
        stock.rows(unit)  # what cannot be trained on is refused before anything is
    for note in notes:
        say(f"note: {note}")
    return _Question(real, dataset, parts, found, stock, job, {unit.key: unit for unit in units}, tuple(notes))


def _check_task(dataset: Dataset, job: DownstreamTask, real: Path, *, balance: bool) -> None:
    if job == "classify" and len(dataset.spec.classes) < 2:
        raise DataError(f"{real} has no classes", expected="at least two to tell apart", code="SCORE-023")
    if job == "segment" and not dataset.spec.has_masks:
        raise DataError(f"{real} has no masks", expected="a dataset with masks", code="SCORE-023")
    if job == "segment" and balance:
        raise UsageError("--balance with --task segment", expected="classes of whole images", remedy="use --ratios")


def _check_network(question: _Question, network: str) -> None:
    """Refuse a name that means nothing before anything is trained."""
    if question.task == "segment" and network != SMALL:
        raise UsageError(f"--network {network} is for --task classify: segmenters have one form")
    if question.task == "classify":
        make_classifier(network, channels_in=question.dataset.spec.channels, classes=len(question.dataset.spec.classes))


def _positive(question: _Question, name: str | None) -> str:
    classes = question.dataset.spec.classes
    if question.task == "segment":
        if name is not None:
            raise UsageError("--positive with --task segment", expected="--task classify")
        return ""
    if name is not None and name not in classes:
        raise UsageError(f"--positive {name}", expected=" or ".join(classes))
    return name or classes[-1]


def _train(question: _Question, subject: Subject, share: ShardTask, *, workers: int) -> None:
    """Every model that is left, each kept when it is trained."""
    with bar("reading the synthetic images", total=len(question.samples.cases)) as reading:
        mix(question.real, question.dataset, question.parts, question.samples, subject.folder, progress=reading.update)
    todo = [question.units[item] for item in share.todo]
    models = f"{counted(len(question.units), 'model')} of {counted(subject.steps, 'step')}"
    say(f"{models}; {len(todo)} to train, {workers} at once")
    with WorkerPool(min(workers, max(1, len(todo)))) as pool, bar("training", total=len(todo)) as progress:
        for done, (unit, answers) in enumerate(pool.each(run_unit, subject, todo), start=1):
            _keep(share.aside / f"{unit.key}.npy", answers)
            share.note(unit.key)
            progress.update(done, note=unit.arm.name)


def _keep(path: Path, answers: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, answers)
    write_atomic(path, buffer.getvalue())


def _proof(question: _Question, aside: Path, *, positive: str, steps: int, network: str) -> Proof:
    dataset = Dataset.open(aside / MIXTURE)
    arms = dict.fromkeys(unit.arm for unit in question.units.values())
    answers = {
        arm: [np.load(aside / f"{unit.key}.npy") for unit in question.units.values() if unit.arm == arm] for arm in arms
    }
    _refuse_diverged(answers)
    return Proof(
        dataset=dataset,
        task=question.task,
        answers=answers,
        positive=positive,
        notes=[*question.notes, *dataset.notes],
        settings={
            "steps": steps,
            "batch": TRAINING_BATCH,
            "network": network if question.task == "classify" else "U-Net, one call",
            "seeds": len(question.units) // len(arms),
            "size": list(dataset.spec.common_size),
        },
    )


def _refuse_diverged(answers: Mapping[Arm, Sequence[np.ndarray]]) -> None:
    """No comparison holds with a model that answers with no numbers.

    Raises:
        ModelError: with the arms.
    """
    broken = [
        f"{arm.name}, seed {seed}"
        for arm, given in answers.items()
        for seed, one in enumerate(given)
        if not np.isfinite(one).all()
    ]
    if broken:
        raise ModelError(
            f"{counted(len(broken), 'model')} answered with numbers that are not finite:\n{listed(broken)}",
            expected="models whose training did not diverge",
            remedy="other --steps, or look for odd values in REAL",
        )


def _write(proof: Proof, folder: Path) -> None:
    write_records(folder / "scores.csv", proof.scores())
    write_records(folder / "predictions.csv", proof.predictions())
    write_atomic(folder / "summary.json", json.dumps(proof.summary(), indent=2) + "\n")
