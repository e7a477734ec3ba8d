"""The bodies of requests and responses, as clients know them.

A field's description says what is to be given; it is also what a request is told that gives something else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Model = Annotated[str | None, Field(description="the name of a served model; the first that fits unless given")]
Truncate = Annotated[bool, Field(description="true to cut texts that are too long, false to refuse them")]
Texts = Annotated[list[str], Field(fail_fast=True)]  # what is wrong with the first of a million is enough
Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]  # whichever fits or not, as long as a message can tell it
Ids = Annotated[list[Number], Field(fail_fast=True)]
OneOrMore = Annotated[str | Texts, Field(description="a text, or a list of texts")]


class EmbeddingsRequest(BaseModel):
    """What OpenAI's clients send."""

    model: Model = None
    input: Annotated[
        str | Texts | Ids | Annotated[list[Ids], Field(fail_fast=True)],
        Field(description="a text, a list of texts, or the ids of their tokens"),
    ]
    encoding_format: Annotated[Literal["float", "base64"], Field(description="float or base64")] = "float"
    dimensions: Annotated[Number | None, Field(description="how many numbers of a vector to keep")] = None
    truncate: Truncate = False
    prompt_name: Annotated[str | None, Field(description="the name of one of the model's prompts")] = None

    model_config = ConfigDict(
        json_schema_extra={"example": {"model": "starter", "input": ["a lovely film", "a dull one"]}}
    )


class Usage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(BaseModel):
    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class EmbedRequest(BaseModel):
    """What text-embeddings-inference takes."""

    model: Model = None
    inputs: OneOrMore
    truncate: Truncate = False
    normalize: Annotated[bool, Field(description="true for vectors of length 1, false as the model gives them")] = True
    prompt_name: Annotated[str | None, Field(description="the name of one of the model's prompts")] = None
    dimensions: Annotated[Number | None, Field(description="how many numbers of a vector to keep")] = None

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": ["a lovely film", "a dull one"]}})


class Sentences(BaseModel):
    source_sentence: Annotated[str, Field(description="the text that the others are compared with")]
    sentences: Annotated[Texts, Field(description="a list of texts")]


class SimilarityParameters(BaseModel):
    truncate: Truncate = False
    prompt_name: Annotated[str | None, Field(description="the name of one of the model's prompts")] = None


class SimilarityRequest(BaseModel):
    model: Model = None
    inputs: Annotated[Sentences, Field(description='{"source_sentence": a text, "sentences": a list of texts}')]
    parameters: Annotated[SimilarityParameters, Field(description="an object")] = SimilarityParameters()

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"inputs": {"source_sentence": "a lovely film", "sentences": ["I liked it", "no"]}}
        }
    )


class PredictRequest(BaseModel):
    model: Model = None
    inputs: Annotated[
        str | Texts | Annotated[list[Texts], Field(fail_fast=True)],
        Field(description="a text, a list of texts, or a list of [first, second] for pairs"),
    ]
    raw_scores: Annotated[bool, Field(description="true for the head's outputs in place of probabilities")] = False
    truncate: Truncate = False

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": "a lovely film"}})


class LabelScore(BaseModel):
    label: str
    score: float


class RerankRequest(BaseModel):
    model: Model = None
    query: Annotated[str, Field(description="a text")]
    texts: Annotated[Texts, Field(description="a list of texts")]
    raw_scores: Annotated[bool, Field(description="true for the head's outputs in place of probabilities")] = False
    return_text: Annotated[bool, Field(description="true to get the texts back, too")] = False
    truncate: Truncate = False

    model_config = ConfigDict(
        json_schema_extra={"example": {"query": "how to compress a file", "texts": ["gzip packs files", "a film"]}}
    )


class Rank(BaseModel):
    index: int
    score: float
    text: str | None = None


class TagRequest(BaseModel):
    model: Model = None
    inputs: Annotated[
        str | Texts | Annotated[list[Texts], Field(fail_fast=True)],
        Field(description="a text, a list of texts, or a list of lists of words"),
    ]
    truncate: Truncate = False

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": "Ada Lovelace lived in London."}})


class Span(BaseModel):
    type: str
    start: int
    end: int
    text: str


class Tagged(BaseModel):
    words: list[str]
    tags: list[str]
    spans: list[Span] | None = None


class Question(BaseModel):
    question: Annotated[str, Field(description="a text")]
    context: Annotated[str, Field(description="a text, of any length")]


class AnswerRequest(BaseModel):
    """One question, or several under ``inputs``."""

    model: Model = None
    question: Annotated[str | None, Field(description="a text")] = None
    context: Annotated[str | None, Field(description="a text, of any length")] = None
    inputs: Annotated[
        Question | Annotated[list[Question], Field(fail_fast=True)] | None,
        Field(description='{"question": a text, "context": a text}, or a list of these'),
    ] = None
    truncate: Truncate = False

    model_config = ConfigDict(
        json_schema_extra={"example": {"question": "Where did she live?", "context": "Ada Lovelace lived in London."}}
    )


class Candidate(BaseModel):
    answer: str
    start: int | None
    end: int | None
    score: float
    probability: float


class Answered(Candidate):
    nbest: list[Candidate]


class ChooseRequest(BaseModel):
    model: Model = None
    prompt: Annotated[str, Field(description="a text")]
    endings: Annotated[Texts, Field(description="a list of texts, two or more")]
    truncate: Truncate = False

    model_config = ConfigDict(json_schema_extra={"example": {"prompt": "I ran", "endings": ["to the park", "red"]}})


class Chosen(BaseModel):
    choice: int
    text: str
    probabilities: list[float]


class FillRequest(BaseModel):
    model: Model = None
    inputs: Annotated[str, Field(description="a text with one or more [MASK]")]
    top_k: Annotated[int, Field(description="a number from 1 to 100", ge=1, le=100)] = 5

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": "the capital of [MASK] is paris."}})


class Guessed(BaseModel):
    token: str
    probability: float
    text: str


class SearchRequest(BaseModel):
    index: Annotated[str | None, Field(description="the name of a served index; the first unless given")] = None
    query: Annotated[str, Field(description="a text")]
    top: Annotated[int, Field(description="a number from 1 to 1000", ge=1, le=1000)] = 10
    rerank: Annotated[str | None, Field(description="the name of a served model of the task rerank")] = None

    model_config = ConfigDict(json_schema_extra={"example": {"query": "how do I compress a file", "top": 3}})


class Found(BaseModel):
    id: str
    text: str
    score: float


class AttentionRequest(BaseModel):
    model: Model = None
    text: Annotated[str, Field(description="a text")]
    text_pair: Annotated[str | None, Field(description="a text")] = None

    model_config = ConfigDict(json_schema_extra={"example": {"text": "the cat sat on the mat"}})


class Attention(BaseModel):
    tokens: list[str]
    segments: list[int]
    attentions: Annotated[list[list[list[list[float]]]], Field(description="by layer, head, token, attended token")]


class TokenizeRequest(BaseModel):
    model: Model = None
    inputs: OneOrMore
    add_special_tokens: Annotated[bool, Field(description="true to have [CLS] and [SEP] around each text")] = True

    model_config = ConfigDict(json_schema_extra={"example": {"inputs": "a lovely film"}})


class Token(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class DecodeRequest(BaseModel):
    model: Model = None
    ids: Annotated[
        Ids | Annotated[list[Ids], Field(fail_fast=True)], Field(description="a list of ids, or a list of such lists")
    ]
    skip_special_tokens: Annotated[bool, Field(description="false to have [CLS] and the like in the text")] = True

    model_config = ConfigDict(json_schema_extra={"example": {"ids": [101, 7592, 102]}})


class ReloadRequest(BaseModel):
    model: Annotated[str | None, Field(description="the name of a served model; all of them unless given")] = None


class VectorParameters(BaseModel):
    """What huggingface_hub asks of vectors, and dimensions beside."""

    truncate: Annotated[bool | None, Field(description="true to cut texts that are too long")] = None
    normalize: Annotated[bool | None, Field(description="true for vectors of length 1")] = None
    prompt_name: Annotated[str | None, Field(description="the name of one of the model's prompts")] = None
    dimensions: Annotated[Number | None, Field(description="how many numbers of a vector to keep")] = None


class PipelineRequest(BaseModel):
    """What huggingface_hub's InferenceClient sends to the address of a model."""

    inputs: Annotated[Any, Field(description="what the task takes")]
    parameters: Annotated[dict[str, Any], Field(description="an object")] = {}
