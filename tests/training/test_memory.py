"""Keeping freed memory is asked of glibc, and of nobody else."""

from __future__ import annotations

import platform
import sys

import pytest

from bertsmith.training.memory import keep_freed_memory


def test_it_says_whether_it_could() -> None:
    assert keep_freed_memory() is (sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc")


def test_it_does_nothing_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
