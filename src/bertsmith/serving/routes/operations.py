"""Routes for whoever runs the server: health, metrics, reloading; and its pages."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from bertsmith.serving.pages import POLICY, documentation, playground
from bertsmith.serving.refusals import Forbidden, NotFound
from bertsmith.serving.routes.asked import at, json, router_of
from bertsmith.serving.service import Service
from bertsmith.serving.shapes import ReloadRequest

router = router_of("operations")


@router.head("/health", include_in_schema=False)
@router.get("/health", summary="Whether the server can answer")
async def health(request: Request) -> Response:
    """200 when every model is warm and computes, 503 else. Needs no key."""
    service: Service = request.app.state.service
    await service.check_health()
    return json({"status": "ready"})


@router.get("/metrics", summary="Numbers for Prometheus")
async def metrics(request: Request) -> Response:
    """All metrics, in the text format of Prometheus."""
    service: Service = request.app.state.service
    return Response(service.meters.page(), media_type=CONTENT_TYPE_LATEST)


@router.post("/reload", summary="Open models anew from their folders")
async def reload(body: ReloadRequest, request: Request) -> Response:
    """Returns when the new ones are warm and answer; until then the old ones do. Only on servers with API keys."""
    service, call = at(request, body)
    if not service.keys:
        raise Forbidden("reloading over HTTP needs a server with --api-key-file; or send it the signal SIGHUP")
    if body.model is not None and body.model not in service.models:
        raise NotFound(f"there is no model {body.model!r:.80}; served are: {service.names}")
    names = list(service.models) if body.model is None else [body.model]
    call.model = body.model
    await service.reload(names)
    return json({"reloaded": names})


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The playground."""
    return HTMLResponse(playground(), headers={"content-security-policy": POLICY})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The documentation of these routes."""
    return HTMLResponse(documentation(request.app.openapi()), headers={"content-security-policy": POLICY})


@router.get("/favicon.ico", include_in_schema=False)
async def icon() -> Response:
    """No picture."""
    return Response(status_code=204)
