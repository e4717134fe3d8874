"""Views of an image: each another one, each undone."""

import torch

from sfumato.tasks.views import turn_back, turn_images, views_of


def test_views_differ_and_are_undone() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(8, 1, 3, 3)
    turned = turn_images(image, range(8))
    assert len({tuple(each.flatten().tolist()) for each in turned}) == 8
    assert torch.equal(turn_back(turned, range(8)), image) and torch.equal(turned[0], image[0])


def test_flips_of_rectangles_keep_their_shape() -> None:
    assert views_of((3, 3)) == 8 and views_of((2, 3)) == 4
    image = torch.arange(6.0).view(1, 1, 2, 3)
    assert turn_images(image, [1]).flatten().tolist() == [2, 1, 0, 5, 4, 3]
    assert turn_images(image, [2]).flatten().tolist() == [3, 4, 5, 0, 1, 2]
    assert turn_images(image, [4]).shape == (1, 1, 3, 2)
