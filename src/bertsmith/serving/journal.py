"""The log of a server: one JSON object a line, or a line to read. Texts are in it only where that was asked for.

Keys are never in it. Whoever reads it may be slow or gone: then lines are lost, and requests are not.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from contextlib import suppress
from typing import Any, Literal, TextIO

import orjson

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LogForm = Literal["json", "text", "off"]


class Journal:
    """Writes lines to a stream, standard error unless given.

    form: "json", "text", or "off" for nothing but warnings
    """

    def __init__(self, form: LogForm = "json", stream: TextIO | None = None) -> None:
        self.form = form
        self.stream = stream or sys.stderr
        self._is_cut = False  # the last line has no end yet

    def tell(self, event: str, *, level: str = "info", **facts: Any) -> None:
        """Write that something happened. Facts that are ``None`` are left out."""
        if self.form == "off" and level == "info":
            return
        facts = {name: value for name, value in facts.items() if value is not None}
        if self.form == "json":
            line = _packed({"time": _now(), "level": level, "event": event, **facts})
        else:
            told = "  ".join(f"{name} {_shown(value)}" for name, value in facts.items())
            line = f"{_now()}  {event}" + f"  {told}" * bool(told)
        with suppress(OSError, ValueError):
            self._write(line + "\n")

    def _write(self, line: str) -> None:
        """Write a line, or as much of it as can be written without waiting for a reader."""
        try:
            descriptor = self.stream.fileno()
        except OSError:  # in memory
            self.stream.write(line)
            return
        data = b"\n" * self._is_cut + line.encode(errors="backslashreplace")
        for place in range(0, len(data), select.PIPE_BUF):
            _, ready, _ = select.select([], [descriptor], [], 0)
            if not ready:
                self._is_cut = self._is_cut or place > 0
                return
            os.write(descriptor, data[place : place + select.PIPE_BUF])
            self._is_cut = place + select.PIPE_BUF < len(data)


def _now() -> str:
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


def _packed(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY, default=str).decode()
    except TypeError:  # text that is no Unicode, as names of files may be, or a number beyond 64 bits
        return json.dumps(line, default=str)


def _shown(value: Any) -> str:
    """A value within a line, without signs that would begin another or move the cursor."""
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
