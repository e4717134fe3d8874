"""The work that a recipe gives this machine, piece by piece, so that each can be timed and weighed.

A piece of work uses the objects that training uses, on the next step's rows. Nothing is written, and no weights are
needed: those of a run take as long as those of a network that has never been trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sfumato.builder.process import build_process
from sfumato.builder.task import build_dataset, build_task
from sfumato.builder.training import build_data_order, build_parts, build_settings
from sfumato.data.augmentation import augment, nonleaking
from sfumato.data.augmentation.ranges import Ranges
from sfumato.data.dataset import Dataset
from sfumato.data.manifest import is_prepared
from sfumato.data.spec import Spec
from sfumato.diffusion.process import Step
from sfumato.errors import UsageError
from sfumato.experiment.inference import SampleRequest, make_steps
from sfumato.experiment.plan import plan_training
from sfumato.experiment.run import Model, Run
from sfumato.memory import out_of_memory
from sfumato.networks.measure import UNCOUNTED
from sfumato.progress import say
from sfumato.randomness import Noise
from sfumato.recipe import Recipe, TaskKind, load_recipe
from sfumato.tasks.segment import Segment, draw_masks
from sfumato.tasks.synthesise import Synthesise
from sfumato.tasks.task import Sampler, batch_noise
from sfumato.training.adversary import DISCRIMINATOR
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.hardware import set_up
from sfumato.training.loop import StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.parts import TrainingState
from sfumato.training.precision import autocast
from sfumato.training.speed import kept_bytes, peak_memory


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Everything that a training is made of, on a device.

    Attributes:
        recipe: every `auto` resolved.
        dataset: the data.
        device: where the work is done.
        parts: what is trained; its weights mean nothing afterwards.
        task: the job.
        data_order: the order of the data.
        settings: how a step is made.
    """

    recipe: Recipe
    dataset: Dataset
    device: torch.device
    parts: TrainingState
    task: Segment | Synthesise
    data_order: DataOrder
    settings: TrainingSettings

    def pieces(self) -> list[Batch]:
        """The pieces of the next step."""
        return self.data_order.batch_at(self.parts.step, parts=self.settings.accumulate)

    def load(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Images and masks, or images alone."""
        if isinstance(self.task, Segment):
            return self.task.read(batch.rows, batch_noise(self.task.seed, batch, str(self.device)))
        images = self.dataset.images(batch.rows, str(self.device))
        if self.task.layout.paired:
            return images, self.dataset.masks(batch.rows, [0] * len(batch.rows), str(self.device))
        return images, None

    def augment(self, batch: Batch, images: torch.Tensor, masks: torch.Tensor | None) -> object:
        """What varies them."""
        noise, how = batch_noise(self.task.seed, batch, str(self.device)), self.task.augment
        if isinstance(self.task, Segment) and masks is not None:
            return self.task.varied(images, masks, noise)
        if isinstance(how, Ranges):
            return augment.apply(images, masks, augment.draw_parameters(how, noise, images))
        height, width = images.shape[-2:]
        done = nonleaking.decide_parameters(nonleaking.draw_numbers(noise), how, height=height, width=width)
        classes = len(self.dataset.spec.mask_classes)
        moved = None if masks is None else nonleaking.apply_to_masks(masks, done, classes=classes)
        return nonleaking.apply_non_leaking(images, done), moved

    def forward(self, batch: Batch) -> torch.Tensor:
        """What is minimised, of a piece; loading and augmentation come with it."""
        self.parts.network.train()
        with autocast(self.settings.precision, self.device):
            terms = self.task.loss(self.parts.network, batch)
        return torch.stack([terms[name].float().sum() for name in ("loss", DISCRIMINATOR) if name in terms]).sum()

    def works(self) -> Mapping[str, Callable[[], object]]:
        """What is timed: a step, and each of its parts on the pieces of the next step."""
        parts, batch = self.parts, self.data_order.batch
        endless = StoppingCriterion(steps=2**31)
        steps = training_loop(parts, self.task.loss, self.data_order, until=endless, settings=self.settings)
        loaded: list[tuple[Batch, torch.Tensor, torch.Tensor | None]] = []
        losses: list[torch.Tensor] = []

        def load() -> None:
            loaded[:] = [(piece, *self.load(piece)) for piece in self.pieces()]

        def vary() -> None:
            for piece in loaded:
                self.augment(*piece)

        def loss() -> None:
            losses[:] = [self.forward(piece) for piece in self.pieces()]

        def backward() -> None:
            for each in losses:
                torch.autograd.backward(each / batch)
            losses.clear()

        def optimise() -> None:
            for network, optimizer in parts.trained():
                torch.nn.utils.clip_grad_norm_(network.parameters(), self.settings.clip)
                optimizer.step()

        def average() -> None:
            for each in (parts.ema, *parts.further):
                each.update(parts.network, images=parts.step * batch, batch=batch)

        return {
            "whole": lambda: next(steps),
            "load": load,
            "augment": vary,
            "loss": loss,
            "backward": backward,
            "optimise": optimise,
            "average": average,
        }

    def operations(self) -> int:
        """Floating-point operations of a step, forward and backward."""
        with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
            for piece in self.pieces():
                torch.autograd.backward(self.forward(piece))
        return int(counter.get_total_flops())

    def bytes_by_image(self) -> float:
        """Bytes that a step takes for each image of a piece.

        What a step makes the process grow by; that shows only if the process has not been as large before, so it is at
        least what a forward pass keeps. Workspaces of kernels make the former two to three times the latter on a CPU.
        """
        piece, *_ = self.pieces()
        self.fits(1)
        before = peak_memory(self.device)
        self.fits(len(piece.rows))
        grown = (peak_memory(self.device) - before) / max(1, len(piece.rows) - 1)
        return max(grown, kept_bytes(self.parts.network, lambda: self.forward(piece)) / len(piece.rows))

    def fits(self, batch: int) -> bool:
        """Whether a step of so many images, in one piece, finds memory."""
        data_order, task = replace(self.data_order, batch=batch), replace(self.task, batch=batch)
        tried = replace(self, data_order=data_order, task=task, settings=replace(self.settings, accumulate=1))
        try:
            for piece in tried.pieces():
                torch.autograd.backward(tried.forward(piece))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return False
        finally:
            self.parts.network.zero_grad()
            torch.cuda.empty_cache()
        return True

    def model(self) -> Model:
        """The averaged network as a model to sample from."""
        return Model(
            "bench", self.recipe, self.dataset.spec, self.task.process, self.parts.ema.network, step=0, sha256=""
        )

    def sampling_loop(self, model: Model, sampler: Sampler, at_once: int) -> Callable[[], Iterator[Step]]:
        """Drawing a batch, step by step."""
        classes = model.spec.classes
        if isinstance(self.task, Synthesise):
            wanted = [SampleRequest(k, classes[k % len(classes)] if classes else None, k) for k in range(at_once)]
            return lambda: make_steps(model, sampler, wanted, guidance=model.guidance())
        train = self.dataset.rows("train")
        rows = [train[k % len(train)] for k in range(at_once)]
        images, _ = self.task.read(rows, Noise(range(at_once), str(self.device)))
        return lambda: draw_masks(
            model.process, model.network, sampler, images, len(model.spec.mask_classes), seeds=range(at_once)
        )


def _likely_task(spec: Spec) -> TaskKind:
    """The job to measure where the person names none: to segment where there are masks; said where both can be done."""
    if not spec.has_masks:
        return "generate"
    say("the work of training a segmenter is measured, as the data have masks; --task generate measures the other")
    return "segment"


def set_up_workload(
    source: Path,
    task: TaskKind | None,
    recipe: Path | None,
    settings: Sequence[str],
    changes: Mapping[str, Any] | None = None,
) -> Workload:
    """The work of a run, or of a recipe on a prepared dataset.

    Raises:
        UsageError: the source is neither, or a run with words for another recipe.
    """
    run = Run(source)
    if run.exists():
        if task or recipe or settings or changes:
            raise UsageError(f"{source} is a run, which has its recipe", remedy="leave out --task, --recipe and --set")
        device, wanted, dataset = set_up(training=True), run.recipe, Dataset.open(run.found_dataset())
    elif is_prepared(source):
        device, dataset = set_up(training=True), Dataset.open(source)
        wanted = load_recipe(task or _likely_task(dataset.spec), recipe, settings=settings, changes=changes)
    else:
        raise UsageError(
            f"{source} is neither a run nor a prepared dataset",
            expected="one of the two",
            remedy=f"sfumato prepare {source} --out dataset",
        )
    planned, _ = plan_training(wanted, dataset, device=torch.device(device).type)
    dataset = build_dataset(planned, dataset)
    parts = build_parts(planned, dataset.spec, device=device)
    discriminator = None if parts.adversary is None else parts.adversary.network
    job = build_task(planned, dataset, build_process(planned), device=device, discriminator=discriminator)
    assert isinstance(job, Segment | Synthesise)
    return Workload(
        recipe=planned,
        dataset=dataset,
        device=torch.device(device),
        parts=parts,
        task=job,
        data_order=build_data_order(planned, dataset.rows("train")),
        settings=build_settings(planned, device=device),
    )
