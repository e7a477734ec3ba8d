"""The recipes: every published size has one, and each is what the command line understands."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bertsmith.cli.app import build
from bertsmith.model.config import PRESETS
from bertsmith.stages.pretrain_settings import PretrainSettings

FOLDER = Path(__file__).parent.parent / "recipes"
FILES = sorted(FOLDER.glob("*.toml"))
ALIASES = {"L12-H768": "base", "L24-H1024": "large"}


def settings_of(path: Path) -> PretrainSettings:
    """The settings that the command line makes of a recipe."""
    words = ["pretrain", "--config", str(path), "--corpus", "corpus", "--out", "out"]
    _, bound, _ = build().parse_args(words)
    found = bound.arguments["settings"]
    assert isinstance(found, PretrainSettings)
    return found


def test_every_size_has_a_recipe() -> None:
    assert {ALIASES.get(name, name) for name in PRESETS} <= {path.stem for path in FILES}
    assert {"two-cores-hour", "one-gpu-hour"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_recipe_is_understood(path: Path) -> None:
    settings = settings_of(path)
    phases = settings.each_phase()
    written = tomllib.loads(path.read_text())
    assert settings.preset == written["preset"]
    assert len(phases) == len(written.get("phases", [1]))
    assert f"--config recipes/{path.name}" in path.read_text()
    for phase, changed in zip(phases, written.get("phases", [{}]), strict=True):
        assert phase.fit.lr == changed.get("lr", written.get("lr"))
        assert phase.instances.max_length == changed.get("max_length", written.get("max_length"))
    if path.stem in PRESETS:
        assert [(one.fit.steps, one.instances.max_length) for one in phases] == [(900_000, 128), (100_000, 512)]
        assert [phase.fit.seed for phase in phases] == [42, 43]


def test_the_hours_are_hours() -> None:
    for name in ("two-cores-hour", "one-gpu-hour"):
        minutes = [one.fit.minutes for one in settings_of(FOLDER / f"{name}.toml").each_phase()]
        assert sum(one for one in minutes if one is not None) == 60
