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
from bertsmith.checkpoint.weights import checksums, on_cpu, read_tensors, verify, write_weights
from bertsmith.errors import CheckpointError
from bertsmith.files import read_json, write_text

_TENSORS = "state.safetensors"
_VALUES = "state.json"
_WAY_OUT = "start anew with --overwrite"


@dataclass(frozen=True)
class State:
    """tensors: by name, on the CPU, in the types they were saved in. values: JSON."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the state in ``folder``. After an error or a kill the earlier one is there, whole.

    values: what Python's JSON keeps as it is (text keys; no tuples)

    Raises `OutputError` when the place is full or not writable.
    """
    held = on_cpu(tensors)
    record = {"values": values, "values_checksum": _checksum(values), "checksums": checksums(held)}
    with writing_folder(folder) as staging:
        write_weights(held, staging / _TENSORS)
        # Not `write_json`, which would make a score that is not finite None: a state comes back as it was.
        write_text(staging / _VALUES, json.dumps(record, indent=2) + "\n")


def has_state(folder: Path) -> bool:
    """Whether there is a state to resume from."""
    finish_writing(folder)
    return (folder / _VALUES).is_file()


def load_state(folder: Path) -> State:
    """The state last saved. Raises `CheckpointError` when there is none, or its files are damaged."""
    if not has_state(folder):
        raise CheckpointError(f"{folder}: holds no state to resume from; {_WAY_OUT}")
    record = read_json(folder / _VALUES, CheckpointError, way_out=_WAY_OUT)
    if "values" not in record or _checksum(record["values"]) != record.get("values_checksum"):
        raise CheckpointError(f"{folder / _VALUES}: is damaged (its checksum differs); {_WAY_OUT}")
    tensors = read_tensors(folder / _TENSORS, way_out=_WAY_OUT)
    verify(tensors, record.get("checksums", {}), file=folder / _TENSORS, way_out=_WAY_OUT)
    return State(tensors, record["values"])


def _checksum(values: object) -> str:
    return f"{zlib.crc32(json.dumps(values).encode()):08x}"
