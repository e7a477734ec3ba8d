"""Files that are whole or not there.

Enters: text and where it goes. Leaves: the file on the disk, replaced in one move. Knows nothing of what the text says.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from bertsmith.errors import OutputError


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text under a temporary name beside ``path``, sync it, and move it there; make its folder if need be.

    Whatever stood at ``path`` stays whole until the move. Line ends are written as given; a lone surrogate, which has
    no UTF-8 form, becomes "?". Raises `OutputError` when the place is full, closed to us, or no ordinary file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if path.exists() and not path.is_file():  # a move over /dev/null would replace the device
            raise OutputError(f"{path}: cannot be written (not an ordinary file); name another place")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(text.encode("utf-8", errors="replace"))
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
