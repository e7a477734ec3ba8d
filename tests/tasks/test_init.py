"""The registry of tasks."""

from __future__ import annotations

import pytest

from bertsmith.errors import SettingsError
from bertsmith.report.card import Card, render_card
from bertsmith.stages.options import TaskOptions
from bertsmith.tasks import TASKS, AnswerQuestions, task_named


def test_tasks_by_name() -> None:
    assert list(TASKS) == ["classify", "regress", "choose", "tag", "answer", "embed", "rerank"]
    assert task_named("answer") is AnswerQuestions
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("name", TASKS)
def test_the_rest_of_the_house_knows_every_task(name: str) -> None:
    """Its options can be given, and its model card can be written, which is the last thing a run does."""
    assert set(TASKS[name].options) <= set(vars(TaskOptions()))
    assert name in render_card(Card(name="x", task=name))


def test_every_option_is_of_some_task() -> None:
    assert set(vars(TaskOptions())) == {option for task in TASKS.values() for option in task.options}


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no task 'clasify'; did you mean 'classify'"):
        task_named("clasify")
