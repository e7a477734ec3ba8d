"""Memory that steps share; keeping freed memory is asked of glibc, and of nobody else."""

from __future__ import annotations

import platform
import sys

import pytest
import torch

from bertsmith.training import memory
from bertsmith.training.memory import forget_scratch, keep_freed_memory, scratch


def test_it_says_whether_it_could() -> None:
    assert keep_freed_memory() is (sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc")


def test_it_does_nothing_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_scratch_memory_is_the_same_again_and_grows() -> None:
    device = torch.device("cpu")
    small = scratch("a test", (3, 4), torch.float32, device)
    assert scratch("a test", (2, 5), torch.float32, device).data_ptr() == small.data_ptr()
    assert scratch("a test", (3, 4), torch.bfloat16, device).data_ptr() != small.data_ptr()
    assert scratch("another", (3, 4), torch.float32, device).data_ptr() != small.data_ptr()
    large = scratch("a test", (30, 4), torch.float32, device)
    assert large.shape == (30, 4)
    assert scratch("a test", (3, 4), torch.float32, device).data_ptr() == large.data_ptr()


def test_scratch_memory_of_an_evaluation_serves_training() -> None:
    with torch.inference_mode():
        scratch("of evaluation", (4,), torch.float32, torch.device("cpu")).zero_()
    weights = torch.ones(4, requires_grad=True)
    kept = scratch("of evaluation", (4,), torch.float32, torch.device("cpu")).copy_(weights.detach())
    (weights * kept).sum().backward()
    assert torch.equal(weights.grad, torch.ones(4))
    forget_scratch()
    assert not memory._SCRATCH
