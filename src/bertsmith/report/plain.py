"""Values as JSON knows them.

Enters: settings, scores, arrays. Leaves: strict JSON text that any reader takes. Knows nothing of what they mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """``value`` of dicts, lists, strings, numbers, booleans and None alone; numbers that are not finite become None.

    >>> plain({"rate": np.float32(0.5), "out": PurePath("runs/x"), "loss": float("nan")})
    {'rate': 0.5, 'out': 'runs/x', 'loss': None}
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        inner = [plain(one) for one in value]
        return sorted(inner, key=str) if isinstance(value, set | frozenset) else inner
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "item"):  # a number that is still on its device
        return plain(value.item())
    return str(value)


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON text of ``value``: no NaN, no Infinity, letters of all scripts as they are."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # A lone surrogate cannot be written as UTF-8, but JSON has an escape for it.
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
