"""Small random models of every task and a small corpus, saved as folders; and processes that may be killed."""

from __future__ import annotations

import random
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertsmith.cli.app import run
from bertsmith.engine import TaskModel
from bertsmith.model import BertConfig
from bertsmith.model.sentence import Pooling
from bertsmith.tasks import AnswerQuestions, Choose, Classify, Embed, Regress, Rerank, Tag, Task
from bertsmith.text import Tokenizer
from bertsmith.training import choose_precision

from .indexes import Place
from .processes import Processes

WORDS = (
    "the", "a", "cat", "dog", "sat", "ran", "on", "in", "mat", "park", "good",
    "bad", "fine", "sad", "day", "film", "it", "was", "is", "who", "where",
)  # fmt: skip

TINY_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}

TASKS: dict[str, Task] = {
    "classify": Classify(labels=("bad", "good", "so-so"), pairs=False),
    "pairs": Classify(labels=("no", "yes"), pairs=True),
    "several": Classify(labels=("cats", "dogs"), pairs=False, multi_label=True),
    "regress": Regress(pairs=False),
    "choose": Choose(),
    "tag": Tag(labels=("O", "B-PER", "I-PER")),
    "answer": AnswerQuestions(stride=8, max_question=16),
    "embed": Embed(pooling=Pooling()),
    "rerank": Rerank(),
}


def with_tensors(folder: Path, copy: Path, *names: str) -> Path:
    """A copy of a model's folder whose file holds more tensors."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, **{name: torch.zeros(2) for name in names}}, copy / "model.safetensors")
    return copy


def small_tokenizer() -> Tokenizer:
    """Letters, digits, punctuation and a few whole words."""
    letters = [*string.ascii_lowercase, *string.digits]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS, *letters])]
    return Tokenizer.from_vocabulary([*vocabulary, *("##" + one for one in letters), *string.punctuation])


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``model_folder("classify")`` is a folder with a model of that task; its weights are random, its answers vary."""
    place = tmp_path_factory.mktemp("models")

    def find(name: str) -> Path:
        folder = place / name
        if not folder.exists():
            tokenizer, task = small_tokenizer(), TASKS[name]
            config = BertConfig(
                vocab_size=tokenizer.vocab_size,
                max_position_embeddings=64,
                initializer_range=0.6,
                **TINY_SHAPE,
            )
            model = task.build(config, torch.Generator().manual_seed(9))
            precision = choose_precision("fp32", torch.device("cpu"))
            TaskModel(model, tokenizer, task, 64, precision).save(folder)
        return folder

    return find


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
