"""Files -> fast answers: engines compute a model's outputs; `TaskModel` turns them into answers and scores."""

from bertsmith.engine.engine import Engine
from bertsmith.engine.task_model import TaskModel
from bertsmith.engine.torch_engine import TorchEngine

__all__ = ["Engine", "TaskModel", "TorchEngine"]
