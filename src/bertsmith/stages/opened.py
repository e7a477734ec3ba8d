"""A trained model for the verbs that ask it, and what a person should know of it and of the texts it is given."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from bertsmith.engine import TaskModel
from bertsmith.engine.choosing import EngineName, InferencePrecision
from bertsmith.errors import count
from bertsmith.tasks import Encoded


def open_model(
    name: str,
    *,
    max_length: int | None,
    device: str,
    precision: InferencePrecision,
    engine: EngineName,
    console: Console,
) -> TaskModel:
    """The model, as `TaskModel.open` does; what is odd about its files is told."""
    model = TaskModel.open(name, max_length=max_length, device=device, precision=precision, engine=engine)
    for line in model.news:
        console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)
    return model


def remarks(encoded: Encoded, max_length: int) -> Counter[str]:
    """What a person should know of how texts became tokens: the number of each, by what one of them is.

    >>> remarks(encoded, 512)                                                          # doctest: +SKIP
    Counter({'example cut to 512 tokens': 3, 'text without tokens': 1})
    """
    return Counter(encoded.counts) + Counter({f"example cut to {max_length} tokens": encoded.num_cut})


def tell(found: Counter[str], console: Console) -> None:
    """The remarks, a line each."""
    for what, number in found.items():
        console.print(f"note: {count(number, what)}", highlight=False, markup=False)
