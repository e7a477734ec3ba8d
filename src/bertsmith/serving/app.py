"""The web application: the routes on a service, and what becomes of requests that do not fit them."""

from __future__ import annotations

import traceback
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from bertsmith.serving.call import SCOPE_KEY, Call
from bertsmith.serving.front import App, Front
from bertsmith.serving.refusals import Failed, Malformed, NotAllowed, NotFound, Refusal, body_of
from bertsmith.serving.routes import openai, operations, pipelines, tasks, tei
from bertsmith.serving.routes.asked import Route, json
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
        redirect_slashes=False,
        exception_handlers={
            Refusal: _refused,
            HTTPException: _http_error,
            Exception: _surprised,
        },
    )
    app.state.service = service
    for routes in (openai, tei, tasks, pipelines, operations):
        app.router.routes.extend(routes.router.routes)  # `include_router` puts a second router before each of them
    paths = frozenset(route.path for route in app.routes if isinstance(route, Route))
    front: App = Front(app, service, paths)
    if origins:
        allowed: dict[str, Any] = {"allow_methods": ["GET", "POST"], "allow_headers": ["*"], "max_age": 3600}
        front = CORSMiddleware(front, allow_origins=origins, expose_headers=["x-request-id", "retry-after"], **allowed)
    return front


async def _refused(request: Request, error: Any) -> Response:
    call: Call = request.scope[SCOPE_KEY]
    call.error, call.reason = error.kind, str(error)
    response = json(body_of(error, openai=request.scope["path"].startswith("/v1/")))
    response.status_code = error.status
    response.headers.update(error.headers)
    return response


async def _http_error(request: Request, error: Any) -> Response:
    refusal: Refusal
    path = request.scope["raw_path"].decode("ascii", "replace")  # with what is no letter as %XX
    if error.status_code == 404:
        refusal = NotFound(f"there is no route {path:.80}; /docs lists all of them")
    elif error.status_code == 405:
        refusal = NotAllowed(f"{path:.80} does not take {request.method}; see /docs")
    else:
        refusal = Malformed("the body is no JSON")
    return await _refused(request, refusal)


async def _surprised(request: Request, error: Exception) -> Response:
    service: Service = request.app.state.service
    call: Call = request.scope[SCOPE_KEY]
    told = "".join(traceback.format_exception(error))
    service.journal.tell("error", level="error", id=call.id, error=repr(error), traceback=told)
    return await _refused(request, Failed(f"an error of this server; its log tells more under the id {call.id}"))
