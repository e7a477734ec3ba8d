"""A loss is a sum and a count."""

from __future__ import annotations

import torch

from bertsmith.training import Loss


def test_the_mean_is_by_valid_targets() -> None:
    assert Loss(torch.tensor(6.0), 4).mean == 1.5
    assert Loss(torch.tensor(6.0), torch.tensor(3)).mean == 2
