"""The state a run resumes from.

Enters: tensors and plain values by name. Leaves: two files in a folder, replaced together, so that the last state that
was whole is always there. Nothing is pickled. Knows nothing of optimizers or steps.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bertsmith.checkpoint.files import finish_writing, writing_folder
from bertsmith.checkpoint.json_file import read_json, write_json
from bertsmith.checkpoint.weights import checksums, read_tensors, verify, write_weights
from bertsmith.errors import CheckpointError

_TENSORS = "state.safetensors"
_VALUES = "state.json"


@dataclass(frozen=True)
class State:
    """tensors: by name, on the CPU, in the types they were saved in. values: JSON."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the state in ``folder``. After an error or a kill the earlier one is there, whole.

    values: what JSON keeps as it is (text keys; no tuples)

    Raises `OutputError` when the place is full or not writable.
    """
    with writing_folder(folder) as staging:
        write_weights(tensors, staging / _TENSORS)
        record = {"values": values, "values_checksum": _checksum(values), "checksums": checksums(tensors)}
        write_json(staging / _VALUES, record)


def has_state(folder: Path) -> bool:
    """Whether there is a state to resume from."""
    finish_writing(folder)
    return (folder / _VALUES).is_file()


def load_state(folder: Path) -> State:
    """The state last saved. Raises `CheckpointError` when there is none, or its files are damaged."""
    if not has_state(folder):
        raise CheckpointError(f"{folder}: holds no state to resume from; start the run without --resume")
    record = read_json(folder / _VALUES)
    if "values" not in record or _checksum(record["values"]) != record.get("values_checksum"):
        raise CheckpointError(f"{folder / _VALUES}: is damaged (its checksum differs); start without --resume")
    tensors = read_tensors(folder / _TENSORS)
    verify(tensors, record.get("checksums", {}), file=folder / _TENSORS, record=folder / _VALUES)
    return State(tensors, record["values"])


def _checksum(values: object) -> str:
    return f"{zlib.crc32(json.dumps(values).encode()):08x}"
