"""JSON objects in files.

Enters: a path. Leaves: the object in it, or one line that says where the file is wrong. Knows no field of any file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``. Raises `CheckpointError` with line and column for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path}:{error.lineno}:{error.colno}: not valid JSON ({error.msg}); copy or download the file again"
        ) from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: byte {error.start} is not UTF-8; copy or download the file again") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: holds a JSON {type(found).__name__}; an object ({{...}}) is expected")
    return found


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` as an indented JSON object, keys in the order given."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
