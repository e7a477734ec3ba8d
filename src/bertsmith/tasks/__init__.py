"""The kinds of question an encoder can be asked, by name."""

from __future__ import annotations

from bertsmith.errors import SettingsError, nearest
from bertsmith.tasks.answer import AnswerQuestions
from bertsmith.tasks.choose import Choose
from bertsmith.tasks.classify import Classify
from bertsmith.tasks.embed import Embed
from bertsmith.tasks.regress import Regress
from bertsmith.tasks.rerank import Rerank
from bertsmith.tasks.tag import Tag
from bertsmith.tasks.task import Answer, Columns, Encoded, Examples, Task

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Classify, Regress, Choose, Tag, AnswerQuestions, Embed, Rerank)
}


def task_named(name: str) -> type[Task]:
    """The class of a task. Raises `SettingsError` for a name that is none."""
    if name not in TASKS:
        raise SettingsError(f"no task {name!r}; {nearest(name, set(TASKS))}")
    return TASKS[name]


__all__ = [
    "TASKS",
    "Answer",
    "AnswerQuestions",
    "Choose",
    "Classify",
    "Columns",
    "Embed",
    "Encoded",
    "Examples",
    "Regress",
    "Rerank",
    "Tag",
    "Task",
    "task_named",
]
