"""Routes of our own, for the heads that no other server offers: tags, answers, choices, words; search and attention."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from fastapi import Request, Response

from bertsmith.serving.kinds import ServedFiller, ServedTask
from bertsmith.serving.refusals import Unfit
from bertsmith.serving.routes.asked import at, json, listed, router_of
from bertsmith.serving.routes.tei import any_model, judge
from bertsmith.serving.shapes import (
    Answered,
    AnswerRequest,
    Attention,
    AttentionRequest,
    ChooseRequest,
    Chosen,
    FillRequest,
    Found,
    Guessed,
    Question,
    SearchRequest,
    Tagged,
    TagRequest,
)

router = router_of("bertsmith")


@router.post("/tag", response_model=list[Tagged], summary="Entities and tags of words")
async def tag(body: TagRequest, request: Request) -> Response:
    """Words, tags and spans of each text. A text of any length is read in parts. Spans count characters of a text, and
    words where words were given."""
    service, call = at(request, body)
    inputs = listed(body.inputs)
    service.limits.check_texts(inputs)
    for words in inputs:
        service.limits.check_texts(listed(words))
    model = service.find(body.model, ServedTask, ["tag"], "/tag")
    return json(await model.answers(call, inputs, truncate=body.truncate))


@router.post("/answer", response_model=Answered | list[Answered], summary="Answers found in contexts")
async def answer(body: AnswerRequest, request: Request) -> Response:
    """The span of the context that answers the question, and its rivals. A context of any length is read in windows."""
    service, call = at(request, body)
    asked = body.inputs
    if asked is None:
        if body.question is None or body.context is None:
            raise Unfit("give a question and a context, or inputs with a list of them")
        asked = Question(question=body.question, context=body.context)
    questions = asked if isinstance(asked, list) else [asked]
    service.limits.check_texts(questions)
    service.limits.check_texts([one.question for one in questions], "question")
    service.limits.check_texts([one.context for one in questions], "context")
    model = service.find(body.model, ServedTask, ["answer"], "/answer")
    inputs = [(one.question, one.context) for one in questions]
    answers = await model.answers(call, inputs, truncate=body.truncate)
    return json(answers if isinstance(asked, list) else answers[0])


@router.post("/choose", response_model=Chosen, summary="The ending that fits a prompt")
async def choose(body: ChooseRequest, request: Request) -> Response:
    """The ending, counted from 0, and the probability of each."""
    service, call = at(request, body)
    service.limits.check_texts([body.prompt], "prompt")
    service.limits.check_texts(body.endings, "endings")
    for place, ending in enumerate(body.endings):
        if not ending.strip():
            raise Unfit(f"endings, number {place + 1}: is empty; give a text")
    if len(body.endings) < 2:
        raise Unfit("endings: there is one; give two or more to choose from")
    model = service.find(body.model, ServedTask, ["choose"], "/choose")
    answers = await model.answers(
        call, [{"prompt": body.prompt, "endings": list(body.endings)}], truncate=body.truncate
    )
    return json(answers[0])


@router.post("/fill", response_model=list[list[Guessed]], summary="Words for [MASK]")
async def fill(body: FillRequest, request: Request) -> Response:
    """For each [MASK] of the text its most probable tokens, best first."""
    service, call = at(request, body)
    service.limits.check_texts([body.inputs])
    model = service.find(body.model, ServedFiller, ["fill"], "/fill")
    guesses = await model.fill(call, body.inputs, body.top_k)
    return json([[vars(guess) for guess in row] for row in guesses])


@router.post("/search", response_model=list[Found], summary="Texts of an index, by meaning")
async def search(body: SearchRequest, request: Request) -> Response:
    """The nearest texts of an index, best first; with `rerank`, in the order of a model that reads query and text."""
    service, call = at(request, body)
    service.limits.check_texts([body.query], "query")
    find_judge = None if body.rerank is None else partial(judge, service, body.rerank, "/search")
    hits = await service.search(call, body.index, body.query, body.top, find_judge)
    return json([vars(hit) for hit in hits])


@router.post("/attention", response_model=Attention, summary="Where a model looks")
async def attention(body: AttentionRequest, request: Request) -> Response:
    """The attention of every layer and head on a short text, or on a pair of texts."""
    service, call = at(request, body)
    service.limits.check_texts([body.text, *([body.text_pair] if body.text_pair is not None else [])], "text")
    model = any_model(service, body.model)
    call.model = model.name
    tokens, segments, maps = await model.in_thread(lambda: model.attend(body.text, body.text_pair))
    rounded: Any = np.round(maps, 4)
    return json({"tokens": tokens, "segments": segments, "attentions": rounded})
