"""A small corpus, places for indexes, and processes that may be killed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertsmith.cli.app import run

from ..tiny_models import WORDS, small_tokenizer
from .indexes import Place
from .processes import Processes


def with_tensors(folder: Path, copy: Path, *names: str) -> Path:
    """A copy of a model's folder whose file holds more tensors."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, **{name: torch.zeros(2) for name in names}}, copy / "model.safetensors")
    return copy


@pytest.fixture
def place(tmp_path: Path, model_folder: Callable[[str], Path]) -> Place:
    """A place for an index, with the vectors of a small random model."""
    return Place(tmp_path, model_folder("embed"))


def random_lines(number: int, seed: int = 0) -> list[str]:
    """Different texts of a few words, of many lengths."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < number:
        made[" ".join(chance.choices(WORDS, k=chance.randint(1, 20)))] = None
    return list(made)


def refused(words: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says as it fails, without the words before it."""
    capfd.readouterr()
    code = run(words)
    told = capfd.readouterr()
    assert (code, told.out) == (2, ""), told.err
    (line,) = told.err.splitlines()
    assert line.startswith("bertsmith: error: ")
    return line.removeprefix("bertsmith: error: ")


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def random_text(documents: int, seed: int = 0) -> str:
    """Documents of random sentences, in Google's form: a sentence a line, a blank line between documents."""
    chance = random.Random(seed)
    made = [
        "\n".join(" ".join(chance.choices(WORDS[:11], k=chance.randint(4, 9))) + " ." for _ in range(8))
        for _ in range(documents)
    ]
    return "\n\n".join(made) + "\n"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty documents in shards, and a few of them held out; not to be written into."""
    place = tmp_path_factory.mktemp("corpus")
    (place / "text.txt").write_text(random_text(80))
    small_tokenizer().save(place / "vocab")
    made = ["--input", str(place / "text.txt"), "--form", "sentences", "--tokenizer", str(place / "vocab")]
    more = ["--workers", "0", "--held-out", "0.1", "--shard-tokens", "1000"]
    assert run(["prepare", *made, "--out", str(place / "corpus"), *more]) == 0
    return place / "corpus"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    started = Processes(tmp_path_factory.mktemp("processes"))
    with started.server:
        yield started
        assert started.server.stdin is not None
        started.server.stdin.close()
    assert started.server.returncode == 0
