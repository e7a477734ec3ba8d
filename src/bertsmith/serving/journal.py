"""The log of a server: one JSON object a line, or a line to read. Texts are in it only where that was asked for.

Keys are never in it. Whoever reads it may be slow or gone: then lines are lost, and requests are not.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any, Literal, TextIO

import orjson

LogForm = Literal["json", "text", "off"]


class Journal:
    """Writes lines to a stream, standard error unless given.

    form: "json", "text", or "off" for nothing but warnings
    """

    def __init__(self, form: LogForm = "json", stream: TextIO | None = None) -> None:
        self.form = form
        self.stream = stream or sys.stderr

    def tell(self, event: str, *, level: str = "info", **facts: Any) -> None:
        """Write that something happened. Facts that are ``None`` are left out."""
        if self.form == "off" and level == "info":
            return
        facts = {name: value for name, value in facts.items() if value is not None}
        if self.form == "json":
            line = orjson.dumps(
                {"time": _now(), "level": level, "event": event, **facts},
                option=orjson.OPT_SERIALIZE_NUMPY,
                default=str,
            ).decode()
        else:
            told = "  ".join(f"{name} {_shown(value)}" for name, value in facts.items())
            line = f"{_now()}  {event}" + f"  {told}" * bool(told)
        with suppress(OSError, ValueError):
            self.stream.write(line + "\n")
            self.stream.flush()


def _now() -> str:
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


def _shown(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
