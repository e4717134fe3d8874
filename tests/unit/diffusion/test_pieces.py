"""Networks see batches of one size; nothing is lost or mixed up on the way."""

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.micro_batches import MicroBatches, piece_size
from sfumato.diffusion.process import Condition


class Network:
    """Answers with a sum over all that an item is told, and remembers the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        self.batches.append(len(x))
        assert condition.image is not None and condition.label is not None and condition.augment is not None
        told = level + 10 * condition.label + condition.augment.sum(1)
        return x + condition.image + told.view(-1, 1, 1, 1)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11])
def test_pieces_are_of_one_size_and_items_stay_themselves(count: int):
    x, image = torch.randn(2, count, 1, 2, 2)
    condition = Condition(image=image, label=torch.arange(count), augment=torch.randn(count, 9))
    network = Network()
    answer = MicroBatches(network, 4)(x, torch.arange(count) / 7, condition)
    assert network.batches == [4] * -(-count // 4)
    assert torch.equal(answer, Network()(x, torch.arange(count) / 7, condition))


def test_what_is_not_told_stays_untold():
    def network(x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        assert condition == Condition()
        return x

    assert len(MicroBatches(network, 4)(torch.zeros(5, 1, 2, 2), torch.zeros(5), Condition())) == 5


def test_the_size_follows_from_one_item_alone():
    sizes = {piece_size(torch.empty(count, channels, 32, 32)) for count in (1, 7, 100) for channels in (1, 3)}
    assert sizes == {8}
    assert piece_size(torch.empty(1, 1, 512, 512)) == 2
    assert piece_size(torch.empty(1, 1, 2048, 2048)) == 1
    assert piece_size(torch.empty(1, 1, 64, 64, device="meta")) == 32
