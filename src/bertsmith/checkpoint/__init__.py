"""Weights -> files: checkpoints as transformers lays them out, and the state a run resumes from.

`save_checkpoint` and `read_checkpoint` are the two ends; `load_weights` puts published tensors into a model, `resolve`
finds a model's folder by name, `hold_folder` keeps two runs out of one folder. Nothing is ever pickled, and a folder
half written is never seen.
"""

from bertsmith.checkpoint.architecture import describe_head, head_of, labels_of, pretraining_kind_of
from bertsmith.checkpoint.files import hold_folder, writing_folder
from bertsmith.checkpoint.folder import (
    Checkpoint,
    read_checkpoint,
    read_config,
    read_task,
    save_checkpoint,
    tell_spare_rows,
)
from bertsmith.checkpoint.loading import Differences, Mismatch, load_weights
from bertsmith.checkpoint.names import from_published, published_names, to_published
from bertsmith.checkpoint.resolve import resolve
from bertsmith.checkpoint.state import State, has_state, load_state, save_state
from bertsmith.checkpoint.weights import read_weights, write_weights

__all__ = [
    "Checkpoint",
    "Differences",
    "Mismatch",
    "State",
    "describe_head",
    "from_published",
    "has_state",
    "head_of",
    "hold_folder",
    "labels_of",
    "load_state",
    "load_weights",
    "pretraining_kind_of",
    "published_names",
    "read_checkpoint",
    "read_config",
    "read_task",
    "read_weights",
    "resolve",
    "save_checkpoint",
    "save_state",
    "tell_spare_rows",
    "to_published",
    "write_weights",
    "writing_folder",
]
