"""The weighted sum of a segmenting network: what is in it, and what a weight of 0 leaves out."""

import pytest
import torch
from torch import Tensor, nn

from sfumato.builder.objective import build_adversary, build_objective
from sfumato.builder.process import build_process
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.loss import estimate_cross_entropy, soft_dice
from sfumato.diffusion.process import Process
from sfumato.errors import UsageError
from sfumato.recipe import Recipe, load_recipe
from sfumato.tasks.objective import Answer, Objective

SPEC = Spec(
    size=(8, 8), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
    mask_classes=("background", "a"), readers=1,
)  # fmt: skip
V = "process={kind: gaussian, prediction: v, critical_log_snr: -5}"
EVERY = {
    "process": 0.5, "cross_entropy": 0.25, "focal": 2.0, "dice": 1.0, "generalised_dice": 0.75, "boundary": 0.1,
    "hausdorff": 0.3, "adversarial": 0.05,
}  # fmt: skip


def recipe(*settings: str) -> Recipe:
    return load_recipe("segment", settings=["process.critical_log_snr=-5", "network.kind=unet", *settings])


def weighted(**weights: float) -> list[str]:
    return [f"loss.{name}={weight}" for name, weight in weights.items()]


def built(words: Recipe) -> tuple[Objective, Process]:
    process, adversary = build_process(words), build_adversary(words, SPEC, device="cpu")
    return build_objective(words, process, discriminator=None if adversary is None else adversary.network), process


def answer(process: Process, items: int = 3) -> Answer:
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(items, 1, 8, 8, generator=generator) < 0.4
    x0 = torch.cat([~labels, labels], 1).float() * 2 - 1
    x_t, images = (torch.randn(items, c, 8, 8, generator=generator) for c in (2, 1))
    output = torch.randn(items, 2, 8, 8, generator=generator).requires_grad_()
    return Answer(output, x0, x_t, torch.linspace(0.1, 0.9, items), images)


def gradients(total: Tensor, output: Tensor, network: nn.Module) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(total.sum(), [output, *network.parameters()], allow_unused=True)


def test_loss_is_the_weighted_sum_of_all_terms() -> None:
    objective, process = built(recipe(V, *weighted(**EVERY)))
    terms = objective(process, answer(process))
    assert terms.keys() == {"loss", "discriminator", *EVERY}
    assert all(term.shape == (3,) for term in terms.values())
    torch.testing.assert_close(terms["loss"], sum(weight * terms[name] for name, weight in EVERY.items()))


def test_what_has_weight_0_is_not_computed_and_changes_no_bit() -> None:
    """The default is cross-entropy plus Dice, to the bit, in value and gradient."""
    objective, process = built(recipe())
    given = answer(process)
    terms = objective(process, given)
    assert terms.keys() == {"loss", "process", "dice"}
    plain = process.loss(given.output, given.x0, given.x_t, given.t)
    plain = 1.0 * plain + 1.0 * soft_dice(process.estimate(given.output, given.x_t, given.t), given.x0)
    assert torch.equal(terms["loss"], plain)
    found, expected = (torch.autograd.grad(total.sum(), given.output)[0] for total in (terms["loss"], plain))
    assert torch.equal(found, expected)


def test_the_discriminators_own_loss_is_no_part_of_the_networks() -> None:
    objective, process = built(recipe(*weighted(adversarial=0.1)))
    assert objective.discriminator is not None
    given = answer(process)
    terms = objective(process, given)
    mine = gradients(terms["loss"], given.output, objective.discriminator)
    theirs = gradients(objective(process, given)["discriminator"], given.output, objective.discriminator)
    assert mine[0] is not None and all(gradient is None for gradient in mine[1:])
    assert theirs[0] is None and all(gradient is not None for gradient in theirs[1:])


def test_terms_are_of_the_estimate_whatever_is_predicted() -> None:
    objective, process = built(recipe(V, *weighted(process=0, dice=0, cross_entropy=2)))
    given = answer(process)
    x0_hat = process.estimate(given.output, given.x_t, given.t)
    terms = objective(process, given)
    assert torch.equal(terms["cross_entropy"], estimate_cross_entropy(x0_hat, given.x0))
    assert torch.equal(terms["loss"], 2 * terms["cross_entropy"])


@pytest.mark.parametrize(
    "process",
    ["process.prediction=logits", "process={kind: none}", "process={kind: categorical, critical_log_snr: -5}",
     "process={kind: sdd, classes: 2, critical_log_snr: -5}"],
)  # fmt: skip
def test_cross_entropy_twice_is_refused(process: str) -> None:
    words = recipe(process, "data.size=[8, 8]", *weighted(cross_entropy=1))
    with pytest.raises(UsageError, match="cross-entropy of the mask already"):
        built(words)


@pytest.mark.parametrize(
    "process", [V, "process={kind: categorical, loss: posterior_kl, critical_log_snr: -5}",
                "process={kind: sdd, classes: 2, loss: klub, critical_log_snr: -5}"],
)  # fmt: skip
def test_cross_entropy_beside_another_loss_is_not(process: str) -> None:
    objective, _ = built(recipe(process, "data.size=[8, 8]", *weighted(cross_entropy=1)))
    assert [term.name for term in objective.terms] == ["cross_entropy", "dice"]


def test_an_adversarial_term_without_its_discriminator_is_refused() -> None:
    words = recipe(*weighted(adversarial=1))
    with pytest.raises(UsageError, match="discriminator"):
        build_objective(words, build_process(words), discriminator=None)


@pytest.mark.parametrize(
    ("task", "settings", "told"),
    [
        ("generate", ["loss.dice=1", "loss.boundary=0.1"], r"loss\.dice and loss\.boundary.*images have none"),
        ("generate", ["loss.process=2"], r"loss\.process"),
        ("segment", ["loss.process=0", "loss.dice=0"], "nothing would be learned"),
        ("segment", ["loss.adversarial_learning_rate=1"], r"would do nothing: loss\.adversarial is 0"),
        ("segment", ["loss.focal=-1"], r"loss\.focal"),
    ],
)
def test_weights_that_say_nothing_are_refused(task: str, settings: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_recipe(task, settings=settings)  # type: ignore[arg-type]


def test_the_adversary_follows_from_the_seed_and_has_its_own_rate() -> None:
    words = recipe(*weighted(adversarial=0.1, adversarial_learning_rate=0.02), "train.learning_rate=0.01")
    first = build_adversary(words, SPEC, device="cpu")
    torch.rand(1)
    before = torch.get_rng_state()
    second = build_adversary(words, SPEC, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert first is not None and second is not None
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert {group["factor"] for group in first.optimizer.param_groups} == {2.0}
    assert build_adversary(recipe(), SPEC, device="cpu") is None
