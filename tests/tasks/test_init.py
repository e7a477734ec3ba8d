"""The registry of tasks."""

from __future__ import annotations

import pytest

from bertsmith.errors import SettingsError
from bertsmith.tasks import TASKS, AnswerQuestions, task_named


def test_tasks_by_name() -> None:
    assert list(TASKS) == ["classify", "regress", "choose", "tag", "answer"]
    assert task_named("answer") is AnswerQuestions
    assert all(task.name == name for name, task in TASKS.items())


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no task 'clasify'; did you mean 'classify'"):
        task_named("clasify")
