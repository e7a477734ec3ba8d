"""Files that are whole or not there: text, bytes, and JSON.

Enters: text, bytes or values, and where they go. Leaves: the file on the disk, replaced in one move; or the object in a
JSON file, or one line that says where the file is wrong. Knows nothing of what they mean.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from bertsmith.errors import BertsmithError, OutputError


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text as `write_bytes` does. Line ends are written as given; a lone surrogate, which has no UTF-8
    form, becomes "?".
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path | str, content: bytes | memoryview) -> None:
    """Write a file under a temporary name beside ``path``, sync it, and move it there; make its folder if need be.

    Whatever stood at ``path`` stays whole until the move. Raises `OutputError` when the place is full, closed to us,
    or no ordinary file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if path.exists() and not path.is_file():  # a move over /dev/null would replace the device
            raise OutputError(f"{path}: cannot be written (not an ordinary file); name another place")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):  # what led here matters more than why the rest of it stays
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise output_error(path, error.errno) from error
        raise


def sync(path: Path) -> None:
    """Bring the content of a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def output_error(place: Path, number: int | None) -> OutputError:
    """The error for a file or folder that the system refused to write with this error number, and what to do.

    >>> print(output_error(Path("runs/x"), errno.EROFS))
    runs/x: cannot be written (Read-only file system); what it held before is unchanged; name another place
    """
    advice = {
        errno.ENOSPC: "free some space, or name another place",
        errno.EDQUOT: "free some of your quota, or name another place",
    }.get(number or 0, "name another place")
    reason = os.strerror(number) if number else "the system gave no reason"
    return OutputError(f"{place}: cannot be written ({reason}); what it held before is unchanged; {advice}")


def read_json(
    path: Path, error: type[BertsmithError], *, way_out: str = "copy or download the file again"
) -> dict[str, Any]:
    """The JSON object in a UTF-8 file, with or without a byte-order mark.

    Raises ``error`` for anything else, naming the line and column, or the byte, at fault; ``way_out`` is what it tells
    the user to do.
    """
    found = _parse_json(path, error, way_out)
    if not isinstance(found, dict):
        raise error(f"{path}: holds a JSON {type(found).__name__}; an object ({{...}}) is expected")
    return found


def read_json_list(
    path: Path, error: type[BertsmithError], *, way_out: str = "copy or download the file again"
) -> list[dict[str, Any]]:
    """The JSON list of objects in a file; otherwise as `read_json`."""
    found = _parse_json(path, error, way_out)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise error(f"{path}: a JSON list of objects ([{{...}}, ...]) is expected; {way_out}")
    return found


def _parse_json(path: Path, error: type[BertsmithError], way_out: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror or reason}); {way_out}") from None
    except UnicodeDecodeError as reason:
        raise error(f"{path}: byte {reason.start} is not UTF-8; {way_out}") from None
    except json.JSONDecodeError as reason:
        place = f"line {reason.lineno}, column {reason.colno}"
        raise error(f"{path}, {place}: not valid JSON ({reason.msg}); {way_out}") from None
    except (RecursionError, ValueError):
        raise error(f"{path}: JSON nested too deeply, or with a number of too many digits; {way_out}") from None


def write_json(path: Path, values: Mapping[str, Any] | list[Any]) -> None:
    """Write ``values`` as indented JSON, as `dump_json` and `write_text` do."""
    write_text(path, dump_json(values, indent=2) + "\n")


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON text of what `plain` makes of ``value``: no NaN, no Infinity, letters of all scripts as they are."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # A lone surrogate cannot be written as UTF-8, but JSON has an escape for it.
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


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
