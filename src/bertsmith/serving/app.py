"""The web application: the routes on a service, and what becomes of requests that do not fit them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from bertsmith.serving.front import App, Front
from bertsmith.serving.refusals import Malformed, NotAllowed, NotFound
from bertsmith.serving.routes import openai, operations, pipelines, tasks, tei
from bertsmith.serving.routes.asked import Route
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
            HTTPException: _http_error,
            Exception: _pass_on,  # to the front, which answers all refusals
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


async def _http_error(request: Request, error: Any) -> Response:
    path = request.scope["raw_path"].decode("ascii", "replace")  # with what is no letter as %XX
    if error.status_code == 404:
        raise NotFound(f"there is no route {path:.80}; /docs lists all of them")
    if error.status_code == 405:
        raise NotAllowed(f"{path:.80} does not take {request.method}; see /docs")
    raise Malformed("the body is no JSON")


async def _pass_on(request: Request, error: Exception) -> Response:
    raise error
