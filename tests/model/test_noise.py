"""Dropout masks: their values and rate, and that the key alone decides them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bertsmith.model.noise import Noise

CPU = torch.device("cpu")


def draw(key: tuple[int, ...], place: int, shape: tuple[int, ...] = (1000,), rate: float = 0.5) -> Tensor:
    noise = Noise()
    noise.seed(*key)
    noise.enter(place)
    return noise.mask(shape, rate, CPU)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.3, 0.5, 0.9])
def test_places_are_dropped_at_the_rate_and_the_rest_scaled(rate: float) -> None:
    mask = draw((1,), 0, (1000, 401), rate).double()
    kept = mask > 0
    share = 1 - float(kept.double().mean())
    assert abs(share - rate) < 5 * (rate * (1 - rate) / mask.numel()) ** 0.5
    assert mask[kept].unique().numel() == 1
    assert float(mask.max()) == pytest.approx(1 / (1 - rate), rel=1e-3)
    # The scale fits the rate that is really drawn, so the mean is 1 but for chance.
    assert float(mask.mean()) == pytest.approx(1, abs=5 * (rate / (1 - rate) / mask.numel()) ** 0.5)


def test_neighbours_are_dropped_independently() -> None:
    """Each 64-bit word gives several decisions; they must not go together."""
    dropped = (draw((3,), 1, (400_000,), 0.3) == 0).double()
    for distance in (1, 2, 3, 4, 8, 64):
        together = float((dropped[distance:] * dropped[:-distance]).mean())
        assert abs(together - 0.09) < 5 * (0.09 * 0.91 / 400_000) ** 0.5


def test_the_key_and_the_place_decide_the_mask() -> None:
    assert torch.equal(draw((42, 7, 0), 3), draw((42, 7, 0), 3))
    others = [((43, 7, 0), 3), ((42, 8, 0), 3), ((42, 7, 1), 3), ((42, 7, 0), 4), ((7, 42, 0), 3)]
    for key, place in others:
        # Independent fair masks agree at half of the places.
        agreement = float((draw((42, 7, 0), 3) == draw(key, place)).double().mean())
        assert abs(agreement - 0.5) < 0.1, (key, place)


def test_entering_a_place_forgets_what_was_drawn() -> None:
    noise = Noise()
    noise.seed(5)
    noise.enter(2)
    first, second = noise.mask((500,), 0.5, CPU), noise.mask((500,), 0.5, CPU)
    assert not torch.equal(first, second)
    noise.enter(2)
    assert torch.equal(noise.mask((500,), 0.5, CPU), first)
    noise.seed(5)
    noise.enter(2)
    assert torch.equal(noise.mask((500,), 0.5, CPU), first)


def test_numpy_and_torch_seeds_have_no_part_in_it() -> None:
    before = draw((1,), 1)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    state = torch.get_rng_state()
    assert torch.equal(draw((1,), 1), before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4, 4), (0,)])
def test_masks_come_in_any_shape(shape: tuple[int, ...]) -> None:
    mask = Noise().mask(shape, 0.25, CPU)
    assert mask.shape == shape
    assert mask.dtype == torch.float32
    assert ((mask == 0) | (mask == torch.tensor(4 / 3))).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.9])
def test_the_scale_is_exact_in_every_format(rate: float, dtype: torch.dtype) -> None:
    """Half the bits would round the scale: all that is kept would be too large or too small."""
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0)).add(1).to(dtype).requires_grad_()
    weights = torch.rand(100_000, generator=torch.Generator().manual_seed(1)).add(1)
    dropped = Noise().drop(x, rate)
    (gradient,) = torch.autograd.grad((dropped * weights).sum(), x)
    kept = dropped.detach() != 0
    scale = 1 / (1 - round(rate * 65536) / 65536)
    assert gradient.dtype == dtype
    for ours, whole in ((dropped.detach(), x.detach()), (gradient, weights)):
        ratio = ours[kept].double().mean() / whole[kept].double().mean()
        assert float(ratio) == pytest.approx(scale, rel=1e-4)


def test_dropping_multiplies_values_and_gradients_by_one_mask() -> None:
    noise = Noise()
    x = torch.randn(50, 20, requires_grad=True)
    noise.seed(1)
    dropped = noise.drop(x, 0.4)
    noise.seed(1)
    mask = noise.mask(x.shape, 0.4, CPU)
    torch.testing.assert_close(dropped, x * mask)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    torch.testing.assert_close(gradient, mask)
    assert noise.drop(x, 0.0) is x
