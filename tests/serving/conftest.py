"""A server of a tiny model of every task, which the tests of a file share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for needed in ("fastapi", "uvicorn", "orjson", "prometheus_client", "httpx2"):
    pytest.importorskip(needed, reason="the extra 'serve' is not installed")

from ..tiny_models import TASKS  # noqa: E402
from .running import Running, running  # noqa: E402


@pytest.fixture(scope="module")
def server(model_folder: Callable[[str], Path]) -> Iterator[Running]:
    """One that serves the model of every task by the task's name."""
    with running({name: model_folder(name) for name in [*TASKS, "fill"]}) as started:
        yield started
