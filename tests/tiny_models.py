"""Small random models of every task: their answers are nonsense, but they vary, and they are there at once."""

from __future__ import annotations

import string
from pathlib import Path

import torch

from bertsmith.engine import TaskModel
from bertsmith.engine.language_model import LanguageModel
from bertsmith.model import BertConfig
from bertsmith.model.sentence import Pooling
from bertsmith.tasks import AnswerQuestions, Choose, Classify, Embed, Regress, Rerank, Tag, Task
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
    "embed": Embed(pooling=Pooling()),
    "rerank": Rerank(),
}


def small_tokenizer() -> Tokenizer:
    """Letters, digits, punctuation and a few whole words."""
    letters = [*string.ascii_lowercase, *string.digits]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS, *letters])]
    return Tokenizer.from_vocabulary([*vocabulary, *("##" + one for one in letters), *string.punctuation])


def write_model(name: str, folder: Path) -> None:
    """Write a model of a task of `TASKS`, or one that fills in words ("fill")."""
    tokenizer = small_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=64,
        initializer_range=0.6,
        **TINY_SHAPE,
    )
    if name == "fill":
        LanguageModel.start(config, tokenizer, "masked", seed=9, device="cpu", precision="fp32").save(folder)
        return
    task = TASKS[name]
    model = task.build(config, torch.Generator().manual_seed(9))
    precision = choose_precision("fp32", torch.device("cpu"))
    TaskModel(model, tokenizer, task, 64, precision).save(folder)
