"""Small random models of every task, saved as folders: what the stages that use a model are tested on."""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertsmith.engine import TaskModel
from bertsmith.model import BertConfig, BertModel
from bertsmith.tasks import AnswerQuestions, Choose, Classify, Regress, Tag, Task
from bertsmith.text import Tokenizer
from bertsmith.training import choose_precision

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
            model = BertModel(config, task.head, task.num_outputs, torch.Generator().manual_seed(9))
            precision = choose_precision("fp32", torch.device("cpu"))
            TaskModel(model, tokenizer, task, 64, precision).save(folder)
        return folder

    return find
