"""The routes of text-embeddings-inference: vectors, labels, order, similarity, tokens."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import Request, Response

from bertsmith.serving.kinds import ServedEmbedder, ServedTask
from bertsmith.serving.refusals import NotFound, Unfit
from bertsmith.serving.routes.asked import at, json, listed, router_of
from bertsmith.serving.served import Served
from bertsmith.serving.service import Service
from bertsmith.serving.shapes import (
    DecodeRequest,
    EmbedRequest,
    LabelScore,
    PredictRequest,
    Rank,
    RerankRequest,
    SimilarityRequest,
    Token,
    TokenizeRequest,
)
from bertsmith.tasks.retrieval import unit

router = router_of("text-embeddings-inference")
JUDGES = ("rerank", "regress")


@router.post("/embed", response_model=list[list[float]], summary="Vectors of texts")
async def embed(body: EmbedRequest, request: Request) -> Response:
    """A vector a text, always a list of them."""
    service, call = at(request, body)
    texts = listed(body.inputs)
    service.limits.check_texts(texts)
    model = service.find(body.model, ServedEmbedder, ["embed"], "/embed")
    vectors = await model.embed(
        call,
        texts,
        truncate=body.truncate,
        prompt_name=body.prompt_name,
        dimensions=body.dimensions,
        normalize=body.normalize or None,
    )
    return json(vectors)


@router.post("/similarity", response_model=list[float], summary="Cosines of one text with others")
async def similarity(body: SimilarityRequest, request: Request) -> Response:
    """The cosine of the source sentence with each of the others."""
    service, call = at(request, body)
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    service.limits.check_texts(body.inputs.sentences, "inputs.sentences")
    service.limits.check_texts(texts)
    model = service.find(body.model, ServedEmbedder, ["embed"], "/similarity")
    asked = body.parameters
    vectors = unit(await model.embed(call, texts, truncate=asked.truncate, prompt_name=asked.prompt_name))
    return json(vectors[1:] @ vectors[0])


@router.post("/predict", response_model=list[LabelScore] | list[list[LabelScore]], summary="Labels of texts")
async def predict(body: PredictRequest, request: Request) -> Response:
    """Every label with its score, best first. A list of such lists for a list of inputs.

    A list of two texts is one pair for a model that was trained on pairs, and two texts for any other.
    """
    service, call = at(request, body)
    model = service.find(body.model, ServedTask, ["classify", "regress", "rerank"], "/predict")
    one, inputs = _inputs_of(model, body.inputs)
    service.limits.check_texts(inputs)
    for pair in inputs:
        service.limits.check_texts(listed(pair))
    scores = await model.scores(call, inputs, raw=body.raw_scores, truncate=body.truncate)
    labels = list(model.held.task.label_names or ["score"])
    rows = [
        [{"label": labels[place], "score": row[place]} for place in np.argsort(-row, kind="stable").tolist()]
        for row in scores
    ]
    return json(rows[0] if one else rows)


def _inputs_of(model: ServedTask, inputs: Any) -> tuple[bool, list[Any]]:
    """Whether it is one input, and the inputs: texts, or pairs of texts."""
    if isinstance(inputs, str):
        return True, [inputs]
    if model.pairs and len(inputs) == 2 and all(isinstance(text, str) for text in inputs):
        return True, [list(inputs)]
    rows = [row[0] if not isinstance(row, str) and len(row) == 1 else row for row in inputs]
    for place, row in enumerate(rows):
        if not isinstance(row, str) and len(row) != 2:
            raise Unfit(f"inputs, number {place + 1}: {len(row)} texts; give a text, or a pair of texts")
        if isinstance(row, str) != isinstance(rows[0], str):
            raise Unfit(f"inputs, number {place + 1}: a text among pairs, or a pair among texts; give all alike")
    return False, rows


@router.post("/rerank", response_model=list[Rank], summary="Texts in the order in which they answer a query")
async def rerank(body: RerankRequest, request: Request) -> Response:
    """The places of the texts, best first, with their scores."""
    service, call = at(request, body)
    service.limits.check_texts([body.query], "query")
    service.limits.check_texts(body.texts, "texts")
    model = judge(service, body.model, "/rerank")
    pairs = [[body.query, text] for text in body.texts]
    scores = (await model.scores(call, pairs, raw=body.raw_scores, truncate=body.truncate))[:, 0]
    ranks: list[dict[str, Any]] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        rank = {"index": place, "score": scores[place]}
        ranks.append({**rank, "text": body.texts[place]} if body.return_text else rank)
    return json(ranks)


@router.post("/tokenize", response_model=list[list[Token]], summary="Tokens of texts")
async def tokenize(body: TokenizeRequest, request: Request) -> Response:
    """The tokens of each text, with their characters."""
    service, call = at(request, body)
    texts = listed(body.inputs)
    service.limits.check_texts(texts)
    model = any_model(service, body.model)
    call.model = model.name
    return json(await model.in_thread(lambda: _tokens(model, texts, body.add_special_tokens, service)))


def _tokens(model: Served, texts: list[str], add_special: bool, service: Service) -> list[list[dict[str, Any]]]:
    service.limits.check_tokens(len(model.tokenizer.encode(texts).ids))  # which is soon done
    held = model.tokenizer.encode_with_offsets(texts)
    special = {model.tokenizer.cls_id, model.tokenizer.sep_id, model.tokenizer.pad_id}
    rows = []
    for first, end in zip(held.ragged.bounds[:-1].tolist(), held.ragged.bounds[1:].tolist(), strict=True):
        row = []
        for place in range(first if add_special else first + 1, end if add_special else end - 1):
            number = int(held.ragged.ids[place])
            start, stop = held.offsets[place].tolist()
            row.append(
                {
                    "id": number,
                    "text": model.tokenizer.vocabulary[number],
                    "special": number in special,
                    "start": None if start < 0 else start,
                    "stop": None if start < 0 else stop,
                }
            )
        rows.append(row)
    return rows


@router.post("/decode", response_model=list[str], summary="Text of tokens' ids")
async def decode(body: DecodeRequest, request: Request) -> Response:
    """The text of each list of ids."""
    service, call = at(request, body)
    rows: Any = [body.ids] if not body.ids or isinstance(body.ids[0], int) else body.ids
    service.limits.check_texts(rows, "ids")
    model = any_model(service, body.model)
    call.model = model.name
    size = model.tokenizer.vocab_size
    for number in (number for row in rows for number in row):
        if not 0 <= number < size:
            raise Unfit(f"ids: there is no token {number}; {model.name} has 0 to {size - 1}")
    skip = body.skip_special_tokens
    return json(await model.in_thread(lambda: [model.tokenizer.decode(row, skip_special=skip) for row in rows]))


@router.get("/info", summary="What is served, and its limits")
async def info(request: Request, model: str | None = None) -> Response:
    """What text-embeddings-inference tells of its one model, of the named or the first; then all models and indexes."""
    service: Service = request.app.state.service
    served = any_model(service, model)
    kind: dict[str, Any] = {"task": {"task": served.task}}
    if isinstance(served, ServedEmbedder):
        kind = {"embedding": {"pooling": served.embedder.pooling.mode}}
    elif isinstance(served, ServedTask) and served.held.task.label_names is not None:
        names = list(served.held.task.label_names)
        sort = "reranker" if served.task == "rerank" else "classifier"
        kind = {sort: {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}}
    limits = service.limits
    return json(
        {
            "model_id": served.name,
            "model_sha": None,
            "model_dtype": served.dtype,
            "model_type": {name: _text_keys(told) for name, told in kind.items()},
            "max_input_length": served.max_length,
            "max_batch_tokens": served.engine.lane_tokens,
            "max_client_batch_size": limits.max_texts,
            "max_request_tokens": limits.max_tokens,
            "max_body_bytes": limits.max_body,
            "max_wait_seconds": limits.max_wait,
            "auto_truncate": False,
            "version": version("bertsmith"),
            **service.describe(),
        }
    )


def _text_keys(told: dict[str, Any]) -> dict[str, Any]:
    if "id2label" not in told:
        return told
    return {**told, "id2label": {str(number): name for number, name in told["id2label"].items()}}


def judge(service: Service, name: str | None, route: str) -> ServedTask:
    """The named model, or the first, that says how well a text answers a query."""
    fitting = [one for one in service.models.values() if isinstance(one, ServedTask) and one.pairs is not False]
    first = next((one.name for one in fitting if one.task in JUDGES), None)
    model = service.find(first if name is None else name, ServedTask, JUDGES, route)
    if model.pairs is False:
        raise Unfit(f"{route} is for models of pairs of texts, and {model.name} was trained on single texts")
    return model


def any_model(service: Service, name: str | None) -> Served:
    if name is None:
        return next(iter(service.models.values()))
    if name not in service.models:
        raise NotFound(f"there is no model {name!r:.80}; served are: {service.names}")
    return service.models[name]
