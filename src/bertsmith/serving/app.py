"""The web application: the routes on a service, and what becomes of requests that do not fit them."""

from __future__ import annotations

import traceback
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from bertsmith.serving.call import SCOPE_KEY, Call
from bertsmith.serving.front import App, Front
from bertsmith.serving.refusals import Failed, Malformed, NotAllowed, NotFound, Refusal, Unfit, body_of
from bertsmith.serving.routes import openai, operations, pipelines, tasks, tei
from bertsmith.serving.routes.asked import json
from bertsmith.serving.service import Service


def build_app(service: Service, origins: tuple[str, ...] = ()) -> App:
    """The application of a service, with its `Front`.

    origins: of pages elsewhere whose scripts may ask
    """
    app = FastAPI(
        title="bertsmith serve",
        version=version("bertsmith"),
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            Refusal: _refused,
            RequestValidationError: _misfit,
            HTTPException: _http_error,
            Exception: _surprised,
        },
    )
    app.state.service = service
    for routes in (openai, tei, tasks, pipelines, operations):
        app.include_router(routes.router)
    front: App = Front(app, limits=service.limits, keys=service.keys, meters=service.meters, journal=service.journal)
    if origins:
        allowed: dict[str, Any] = {"allow_methods": ["GET", "POST"], "allow_headers": ["*"], "max_age": 3600}
        front = CORSMiddleware(front, allow_origins=origins, expose_headers=["x-request-id", "retry-after"], **allowed)
    return front


async def _refused(request: Request, error: Any) -> Response:
    call: Call = request.scope[SCOPE_KEY]
    call.error, call.reason = error.kind, str(error)
    response = json(body_of(error, openai=request.url.path.startswith("/v1/")))
    response.status_code = error.status
    response.headers.update(error.headers)
    return response


async def _misfit(request: Request, error: Any) -> Response:
    return await _refused(request, misfit_of(error.errors(), request.scope.get("route")))


async def _http_error(request: Request, error: Any) -> Response:
    refusal: Refusal
    if error.status_code == 404:
        refusal = NotFound(f"there is no route {request.url.path:.80}; /docs lists all of them")
    elif error.status_code == 405:
        refusal = NotAllowed(f"{request.url.path:.80} does not take {request.method}; see /docs")
    else:
        refusal = Malformed("the body is no JSON")
    return await _refused(request, refusal)


async def _surprised(request: Request, error: Exception) -> Response:
    service: Service = request.app.state.service
    call: Call = request.scope[SCOPE_KEY]
    told = "".join(traceback.format_exception(error))
    service.journal.tell("error", level="error", id=call.id, error=repr(error), traceback=told)
    return await _refused(request, Failed(f"an error of this server; its log tells more under the id {call.id}"))


def misfit_of(errors: Any, route: Any) -> Refusal:
    """The first thing wrong with a body, in one line, from what pydantic says of it. What was given is not repeated."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return Malformed(f"the body is no JSON: {first.get('ctx', {}).get('error', 'it ends too early')}")
    place = [part for part in first["loc"] if part != "body"]
    if not place:
        return Unfit("the body is to be a JSON object; see /docs")
    field = _field_of(route, str(place[0]))
    where = str(place[0])
    if any(one["type"] == "string_unicode" for one in errors):
        return Unfit(f"{where}: has a lone surrogate, which is no text; send valid Unicode")
    if first["type"] == "missing" and len(place) == 1:
        return Unfit(f"{where}: is missing; give {field}")
    rows = [
        part for one in errors if one["loc"][:2] == first["loc"][:2] for part in one["loc"] if isinstance(part, int)
    ]
    row = rows[0] if rows else None
    return Unfit(f"{where}{f', number {row + 1}' if row is not None else ''}: does not fit; give {field}")


def _field_of(route: Any, name: str) -> str:
    """What a field of a route's body takes, in words."""
    body = getattr(route, "body_field", None)
    model = getattr(getattr(body, "field_info", None), "annotation", None)
    if isinstance(model, type) and issubclass(model, BaseModel) and name in model.model_fields:
        return model.model_fields[name].description or "what /docs says"
    return "what /docs says"
