"""What every route begins and ends with: the service, the call, and JSON."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response

from bertsmith.serving.call import SCOPE_KEY, Call
from bertsmith.serving.service import Service


def at(request: Request, body: Any) -> tuple[Service, Call]:
    """The service that was asked, and the call; its texts are kept for the log where that was asked for."""
    service: Service = request.app.state.service
    call: Call = request.scope[SCOPE_KEY]
    if service.log_texts:
        call.shown = body.model_dump(mode="json", exclude_defaults=True)
    return service, call


def json(value: Any) -> Response:
    """A response. Arrays of numpy are lists; what is not finite would be null, and was refused before."""
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


def listed(inputs: Any) -> list[Any]:
    """One text, or several, as a list."""
    return [inputs] if isinstance(inputs, str) else list(inputs)
