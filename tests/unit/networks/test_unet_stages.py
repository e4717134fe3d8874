"""The order of the stages: every output of the encoder meets one stage of the decoder."""

from dataclasses import replace

import pytest

from sfumato.networks.unet import UNetSizes
from sfumato.networks.unet_stages import decoder, encoder

PLAN = UNetSizes(
    widths=(8, 16, 24), blocks=2, attention=(1,), head_channels=8, dimensions=2, dropout=0.0, recompute=False
)


def test_the_encoder_halves_first_and_then_widens():
    places = encoder(PLAN, stem=4)
    assert [place.size for place in places] == ["same", "same", "half", "same", "same", "half", "same", "same"]
    assert [place.channels_in for place in places] == [4, 8, 8, 8, 16, 16, 16, 24]
    assert [place.channels_out for place in places] == [8, 8, 8, 16, 16, 16, 24, 24]
    assert [place.attention for place in places] == [False, False, False, True, True, False, False, False]


def test_the_decoder_takes_the_skips_from_the_last_to_the_stem():
    places = decoder(PLAN, stem=4, attention="every")
    assert [place.channels_skip for place in places if place.channels_skip] == [24, 24, 16, 16, 16, 8, 8, 8, 4]
    assert [place.size for place in places].count("double") == 2
    assert all(place.side == "decoder" for place in places)


@pytest.mark.parametrize(("wished", "where"), [("every", [0, 6, 7, 8]), ("last", [0, 8])])
def test_attention_in_the_decoder(wished, where):
    places = decoder(PLAN, stem=8, attention=wished)
    assert [index for index, place in enumerate(places) if place.attention] == where


def test_stages_know_what_happens_to_each_axis():
    """An axis that waits is kept at first, and convolved from the level on at which it is halved."""
    plan = replace(PLAN, dimensions=3, halvings=((1, 2, 2), (2, 2, 2)))
    waiting, whole = (1, 3, 3), (3, 3, 3)
    down, up = encoder(plan, stem=4), decoder(plan, stem=4, attention="every")
    assert [place.kernel for place in down] == [waiting] * 2 + [whole] * 6
    assert [place.factor for place in down if place.size == "half"] == [(1, 2, 2), (2, 2, 2)]
    assert [place.kernel for place in up] == [whole] * 9 + [waiting] * 4
    assert [place.factor for place in up if place.size == "double"] == [(2, 2, 2), (1, 2, 2)]
