"""From the weights of a recipe to what the training of masks minimises, and to the discriminator."""

import torch
from torch import nn

from sfumato.builder.network import dimensions_of
from sfumato.data.spec import Spec
from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.family.dirichlet import Dirichlet
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.loss import boundary_loss, estimate_cross_entropy, focal, generalised_dice, hausdorff, soft_dice
from sfumato.diffusion.process import Process
from sfumato.errors import UsageError
from sfumato.networks.discriminator import Discriminator
from sfumato.recipe import Recipe
from sfumato.tasks.objective import DICE, Objective, Term
from sfumato.training.adversary import Adversary
from sfumato.training.optimizer import make_optimizer


def build_objective(recipe: Recipe, process: Process, *, discriminator: nn.Module | None) -> Objective:
    """The weighted terms of a recipe of masks.

    Raises:
        UsageError: a term that the process minimises already, or an adversarial one without its discriminator.
    """
    weights = recipe.loss
    if weights.cross_entropy > 0 and weights.process > 0 and _is_cross_entropy(process):
        raise UsageError(
            "loss.cross_entropy: the process's own loss is the cross-entropy of the mask already",
            expected="loss.cross_entropy for predictions like v or x0, or for divergences",
            remedy="--set loss.cross_entropy=0, and loss.process to weigh it",
        )
    if weights.adversarial > 0 and discriminator is None:
        raise UsageError("loss.adversarial needs the discriminator that it trains", remedy="build_adversary makes it")
    terms = (
        Term("cross_entropy", weights.cross_entropy, estimate_cross_entropy, per_pixel=True),
        Term("focal", weights.focal, focal, per_pixel=True),
        Term(DICE, weights.dice, soft_dice, per_pixel=False),
        Term("generalised_dice", weights.generalised_dice, generalised_dice, per_pixel=False),
        Term("boundary", weights.boundary, boundary_loss, per_pixel=True),
        Term("hausdorff", weights.hausdorff, hausdorff, per_pixel=True),
    )
    return Objective(
        process=weights.process,
        terms=tuple(term for term in terms if term.weight > 0),
        adversarial=weights.adversarial,
        discriminator=discriminator,
    )


def build_adversary(recipe: Recipe, spec: Spec, *, device: str) -> Adversary | None:
    """The discriminator of masks and its optimiser, where the recipe has one; initial weights follow from its seed."""
    weights, train = recipe.loss, recipe.train
    if weights.adversarial == 0:
        return None
    assert train.learning_rate != "auto", "the plan resolves every auto"
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(train.seed)
        dimensions, classes = dimensions_of(recipe, spec), len(spec.mask_classes)
        network = Discriminator(channels_image=spec.channels, classes=classes, dimensions=dimensions).to(device)
    factor = weights.adversarial_learning_rate / train.learning_rate
    optimizer = make_optimizer(network, learning_rate=train.learning_rate, betas=(0.5, 0.99), factors={"*": factor})
    return Adversary(network, optimizer)


def _is_cross_entropy(process: Process) -> bool:
    """Whether a process of masks minimises (1) of `diffusion.loss` itself."""
    match process:
        case Gaussian() | Deterministic():
            return process.prediction == "logits"
        case Categorical() | Dirichlet():
            return process.objective == "cross_entropy"
        case _:
            return False
