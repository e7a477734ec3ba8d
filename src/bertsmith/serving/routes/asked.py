"""What every route begins and ends with: the body, the service, the call, and JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from json import loads
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from bertsmith.serving.call import SCOPE_KEY, Call
from bertsmith.serving.refusals import Malformed, Refusal, Unfit
from bertsmith.serving.service import Service


class Route(APIRoute):
    """A route whose function takes its body, the request, and what the path names.

    FastAPI describes it in OpenAPI like any other. The body is validated as it is parsed, and no dependencies are
    looked for, which takes a third off the work of a request (docs/lab-notes.md).
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        if self.body_field is None:
            return super().get_route_handler()
        model: Any = self.body_field.field_info.annotation
        validate = TypeAdapter(model).validate_json
        function = self.endpoint

        async def handle(request: Request) -> Response:
            try:
                body = validate(await request.body())
            except ValidationError as error:
                raise misfit(error, model) from None
            response: Response = await function(body, request, **request.path_params)
            return response

        return handle


def misfit(error: ValidationError, model: type[BaseModel]) -> Refusal:
    """The first thing wrong with a body, in one line. What was given is not repeated: it may be long, or secret."""
    errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return Malformed(f"the body is no JSON: {first['ctx']['error']}")
    if not first["loc"]:
        return Unfit("the body is to be a JSON object; see /docs")
    where = str(first["loc"][0])
    wanted = model.model_fields[where].description or "what /docs says"
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return Unfit(f"{where}: is missing; give {wanted}")
    rows = [part for one in errors if one["loc"][0] == where for part in one["loc"] if isinstance(part, int)]
    return Unfit(f"{where}{f', number {rows[0] + 1}' if rows else ''}: does not fit; give {wanted}")


def router_of(tag: str) -> APIRouter:
    """A router of such routes, under a heading of the documentation."""
    return APIRouter(tags=[tag], route_class=Route)


def at(request: Request, body: Any) -> tuple[Service, Call]:
    """The service that was asked, and the call; its texts are kept for the log where that was asked for."""
    service: Service = request.app.state.service
    call: Call = request.scope[SCOPE_KEY]
    if service.log_texts:
        call.shown = loads(body.model_dump_json(exclude_defaults=True), parse_int=_number)
    return service, call


def _number(digits: str) -> float:
    """A whole number as the log can hold it."""
    return int(digits) if len(digits) < len(str(2**63)) else float(digits)


def json(value: Any) -> Response:
    """A response. Arrays of numpy are lists; what is not finite would be null, and was refused before."""
    packed = orjson.dumps(value, default=np.ascontiguousarray, option=orjson.OPT_SERIALIZE_NUMPY)  # for slices
    return Response(packed, media_type="application/json")


def listed(inputs: Any) -> list[Any]:
    """One text, or several, as a list."""
    return [inputs] if isinstance(inputs, str) else list(inputs)
