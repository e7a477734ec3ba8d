"""What a request may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bertsmith.errors import SettingsError, count
from bertsmith.serving.refusals import TooLarge, Unfit


@dataclass(frozen=True)
class Limits:
    """Limits of a request, and of the time it may take."""

    max_body: int = 2_000_000
    """Bytes of a request's body."""
    max_texts: int = 2048
    """Texts of a request."""
    max_tokens: int = 300_000
    """Tokens of a request, all its texts together."""
    max_wait: float = 5.0
    """Seconds that a request may wait for its model; what would wait longer is answered 429 at once."""
    read_timeout: float = 20.0
    """Seconds that a request may take to arrive."""
    drain: float = 30.0
    """Seconds that answers under way may take after SIGTERM."""

    def __post_init__(self) -> None:
        for name in ("max_body", "max_texts", "max_tokens", "max_wait", "read_timeout", "drain"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give a number over 0")

    def check_texts(self, texts: Sequence[object], name: str = "inputs") -> None:
        """Raise `TooLarge` for more texts than a request may have, and `Unfit` for none, or one that is binary data."""
        if not texts:
            raise Unfit(f"{name}: is empty; give a text")
        if len(texts) > self.max_texts:
            raise TooLarge(f"{name}: {len(texts):,} texts, and a request may have {self.max_texts:,}; send several")
        for place, text in enumerate(texts):
            if isinstance(text, str) and "\0" in text:
                raise Unfit(f"{name}, number {place + 1}: has a NUL character, as binary data has; send text")

    def check_tokens(self, tokens: int) -> None:
        """Raise `TooLarge` for more tokens than a request may have."""
        if tokens > self.max_tokens:
            raise TooLarge(f"{count(tokens, 'token')}, and a request may have {self.max_tokens:,}; send several")
