"""Files that are whole or not there.

Enters: text and where it goes. Leaves: the file, replaced in one move. Knows nothing of what the text says.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bertsmith.errors import OutputError


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text to a temporary name beside ``path``, sync it, and move it there.

    Whatever stood at ``path`` stays whole until the move. Raises `OutputError` when the place is full or closed to us.
    """
    path = Path(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            # A lone surrogate has no UTF-8 form; "?" in a report is better than no report.
            file.write(text.encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OutputError(
                f"{path}: cannot be written ({error.strerror or error}); free some space or name another folder"
            ) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
