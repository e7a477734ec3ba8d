"""OpenAI's routes: embeddings, and what models there are."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from fastapi import Request, Response

from bertsmith.serving.kinds import ServedEmbedder
from bertsmith.serving.refusals import NotFound
from bertsmith.serving.routes.asked import at, json, router_of
from bertsmith.serving.served import Served
from bertsmith.serving.service import Service
from bertsmith.serving.shapes import EmbeddingsRequest, EmbeddingsResponse

router = router_of("OpenAI")


@router.post("/v1/embeddings", response_model=EmbeddingsResponse, summary="Vectors of texts")
@router.post("/embeddings", include_in_schema=False)
async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
    """For `openai` and whatever speaks like it. `base64` is little-endian float32."""
    service, call = at(request, body)
    given = body.input
    texts: Any = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    service.limits.check_texts(texts, "input")
    model = service.find(body.model, ServedEmbedder, ["embed"], "/v1/embeddings")
    vectors = await model.embed(
        call, texts, truncate=body.truncate, dimensions=body.dimensions, prompt_name=body.prompt_name
    )
    written: Any = vectors
    if body.encoding_format == "base64":
        written = [base64.b64encode(np.ascontiguousarray(row, dtype="<f4").data).decode() for row in vectors]
    return json(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(written)],
            "model": model.name,
            "usage": {"prompt_tokens": call.tokens, "total_tokens": call.tokens},
        }
    )


@router.get("/v1/models", summary="What is served")
@router.get("/models", include_in_schema=False)
async def models(request: Request) -> Response:
    """Every model, with its task and sizes beside what OpenAI's clients read."""
    service: Service = request.app.state.service
    return json({"object": "list", "data": [_described(served) for served in service.models.values()]})


@router.get("/v1/models/{name:path}", summary="What one of the models is")
async def model(name: str, request: Request) -> Response:
    """As in the list of all."""
    service: Service = request.app.state.service
    if name not in service.models:
        raise NotFound(f"there is no model {name!r:.80}; served are: {service.names}")
    return json(_described(service.models[name]))


def _described(served: Served) -> dict[str, Any]:
    return {"object": "model", "created": served.opened, "owned_by": "bertsmith", **served.describe()}
