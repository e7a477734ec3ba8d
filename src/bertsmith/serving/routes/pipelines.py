"""The address of a model: what huggingface_hub's InferenceClient is given as ``model``.

Enters: ``{"inputs": ..., "parameters": {...}}`` as its methods send it. Leaves: what they read. Which method fits is
the model's task: `feature_extraction`, `sentence_similarity`, `text_classification`, `token_classification`,
`question_answering`, `fill_mask`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import Request, Response
from pydantic import ValidationError

from bertsmith.serving.call import Call
from bertsmith.serving.kinds import ServedEmbedder, ServedFiller, ServedTask
from bertsmith.serving.refusals import Unfit
from bertsmith.serving.routes.asked import at, json, listed, misfit, router_of
from bertsmith.serving.routes.tei import any_model
from bertsmith.serving.service import Service
from bertsmith.serving.shapes import PipelineRequest, VectorParameters
from bertsmith.tasks.retrieval import unit

router = router_of("huggingface_hub")


@router.post("/", summary="The first model, as huggingface_hub asks it")
@router.post("/models/{name:path}", summary="One model, as huggingface_hub asks it")
async def pipeline(body: PipelineRequest, request: Request, name: str | None = None) -> Response:
    """Give `InferenceClient` the address `http://HOST:PORT/models/NAME` as its model."""
    service, call = at(request, body)
    model = any_model(service, name)
    if isinstance(model, ServedEmbedder):
        return json(await _vectors(service, call, model, body))
    if isinstance(model, ServedFiller):
        return json(await _words(service, call, model, body))
    assert isinstance(model, ServedTask)
    truncate = bool(body.parameters.get("truncation") or body.parameters.get("truncate"))
    if model.task in ("classify", "regress", "rerank"):
        return json(await _labels(service, call, model, body, truncate))
    if model.task == "tag":
        return json(await _entities(service, call, model, body, truncate))
    if model.task == "answer":
        return json(await _answer(service, call, model, body, truncate))
    raise Unfit(f"{model.name} is of the task {model.task}, which huggingface_hub has no method for; use /{model.task}")


async def _vectors(service: Service, call: Call, model: ServedEmbedder, body: PipelineRequest) -> Any:
    if isinstance(body.inputs, dict):
        texts = [_text(body.inputs.get("source_sentence")), *_texts(body.inputs.get("sentences"))]
        service.limits.check_texts(texts)
        vectors = unit(await model.embed(call, texts))
        return vectors[1:] @ vectors[0]
    texts = _texts(body.inputs)
    service.limits.check_texts(texts)
    try:
        asked = VectorParameters.model_validate(body.parameters)
    except ValidationError as error:
        raise Unfit(f"parameters.{misfit(error, VectorParameters)}") from None
    return await model.embed(
        call,
        texts,
        truncate=bool(asked.truncate),
        normalize=asked.normalize,
        prompt_name=asked.prompt_name,
        dimensions=asked.dimensions,
    )


async def _labels(service: Service, call: Call, model: ServedTask, body: PipelineRequest, truncate: bool) -> Any:
    texts = _texts(body.inputs)
    service.limits.check_texts(texts)
    scores = await model.scores(call, texts, truncate=truncate)
    labels = list(model.held.task.label_names or ["score"])
    most = body.parameters.get("top_k")
    most = most if isinstance(most, int) and most > 0 else len(labels)
    return [
        [{"label": labels[place], "score": row[place]} for place in np.argsort(-row, kind="stable")[:most].tolist()]
        for row in scores
    ]


async def _entities(service: Service, call: Call, model: ServedTask, body: PipelineRequest, truncate: bool) -> Any:
    text = _text(body.inputs)
    service.limits.check_texts([text])
    (answer,) = await model.answers(call, [text], truncate=truncate)
    spans = answer.get("spans", [])
    return [
        {"entity_group": one["type"], "word": one["text"], "start": one["start"], "end": one["end"]} for one in spans
    ]


async def _answer(service: Service, call: Call, model: ServedTask, body: PipelineRequest, truncate: bool) -> Any:
    inputs = body.inputs if isinstance(body.inputs, dict) else {}
    pair = _text(inputs.get("question")), _text(inputs.get("context"))
    service.limits.check_texts(pair)
    (answer,) = await model.answers(call, [pair], truncate=truncate)
    return {
        "answer": answer["answer"],
        "score": answer["probability"],
        "start": answer["start"] or 0,
        "end": answer["end"] or 0,
    }


async def _words(service: Service, call: Call, model: ServedFiller, body: PipelineRequest) -> Any:
    text = _text(body.inputs)
    service.limits.check_texts([text])
    most = body.parameters.get("top_k") or 5
    if type(most) is not int or not 1 <= most <= 100:
        raise Unfit("parameters.top_k: give a number from 1 to 100")
    rows = [
        [
            {
                "score": guess.probability,
                "token": model.tokenizer.id_of(guess.token),
                "token_str": guess.token,
                "sequence": guess.text,
            }
            for guess in row
        ]
        for row in await model.fill(call, text, most)
    ]
    return rows[0] if len(rows) == 1 else rows


def _texts(inputs: Any) -> list[str]:
    return [_text(text) for text in (listed(inputs) if isinstance(inputs, str | list) else [inputs])]


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise Unfit("inputs: give a text where this task takes one (see /docs)")
    return given
