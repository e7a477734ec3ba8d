"""Who may ask: API keys, from a file and from the environment. They are never logged, nor part of a message."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from bertsmith.errors import SettingsError

VARIABLE = "BERTSMITH_API_KEY"  # one key, or several with commas between


class Keys:
    """The keys that are taken; with none, everybody may ask."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = [key.encode() for key in keys]

    @classmethod
    def read(cls, path: Path | None, environment: Mapping[str, str] = os.environ) -> Keys:
        """The keys of a file, one a line (``#`` begins a comment), and those of the environment.

        Raises `SettingsError` for a file that cannot be read or holds none, and for a key that is no plain ASCII.
        """
        keys = [key.strip() for key in environment.get(VARIABLE, "").split(",") if key.strip()]
        if path is not None:
            try:
                lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"--api-key-file {path}: cannot be read ({error})") from None
            found = [line for line in lines if line and not line.startswith("#")]
            if not found:
                raise SettingsError(f"--api-key-file {path}: holds no key; write one a line")
            keys += found
        if not all(key.isascii() and key.isprintable() and " " not in key for key in keys):
            raise SettingsError("an API key has a space, or a sign that no header can hold; take letters and digits")
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def accept(self, given: bytes) -> bool:
        """Whether this is one of the keys. Takes as long whichever it is, and however much of it is right."""
        return bool(sum([hmac.compare_digest(given, key) for key in self._keys]))
