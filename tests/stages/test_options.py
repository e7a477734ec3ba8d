"""Options of single tasks, from the command line and from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.cli.app import build
from bertsmith.errors import SettingsError
from bertsmith.stages.options import TaskOptions, parse_weights
from bertsmith.tasks import AnswerQuestions, Classify


def parsed(*words: str) -> TaskOptions:
    """The options of tasks that a command line gives."""
    _, bound, _ = build().parse_args(
        ["finetune", "--train", "a", "--out", "x", *words], print_error=False, exit_on_error=False
    )
    options: Any = bound.kwargs["settings"].options
    assert isinstance(options, TaskOptions)
    return options


def test_an_option_may_begin_with_no(tmp_path: Path) -> None:
    """As flags do that are turned off."""
    assert parsed("--no-answer-threshold", "-1.5") == TaskOptions(no_answer_threshold=-1.5)
    assert parsed("--no-multi-label", "--num-best", "3") == TaskOptions(multi_label=False, num_best=3)
    (tmp_path / "a.toml").write_text("no_answer_threshold = 2.5\nmulti_label = false\n")
    assert parsed("--config", str(tmp_path / "a.toml")) == TaskOptions(multi_label=False, no_answer_threshold=2.5)
    (tmp_path / "b.toml").write_text("no_multi_label = true\n")
    with pytest.raises(SettingsError, match="'no_multi_label' is no option of finetune"):
        parsed("--config", str(tmp_path / "b.toml"))


def test_options_are_given_to_their_task_alone() -> None:
    options = TaskOptions(no_answer_threshold=0.0, num_best=2)
    assert options.given(AnswerQuestions) == {"no_answer_threshold": 0.0, "num_best": 2}
    with pytest.raises(SettingsError, match="--no-answer-threshold is no option of the task 'classify'"):
        options.given(Classify)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("spam=2, ham=.5", {"spam": 2.0, "ham": 0.5}),
        ("a=b=3", {"a=b": 3.0}),
        ("science, tech=2,arts=1", {"science, tech": 2.0, "arts": 1.0}),
    ],
)
def test_weights_by_label(text: str, weights: dict[str, float]) -> None:
    assert parse_weights(text) == weights


@pytest.mark.parametrize(
    ("text", "wrong"), [("up", "up"), ("up=2,down", "down"), ("up,2", "up,2"), ("up=much", "up=much"), ("", "")]
)
def test_weights_that_are_none(text: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"^--class-weights '{wrong}': write label=weight, or balanced$"):
        parse_weights(text)
