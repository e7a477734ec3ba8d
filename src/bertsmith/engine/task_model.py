"""A model with its tokenizer and its task: what a checkpoint folder is in memory.

Enters: a folder, ours or a published one, or a hub name. Leaves: answers to texts, scores of labelled files, and a
folder again.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.checkpoint import (
    Checkpoint,
    Differences,
    describe_head,
    head_of,
    labels_of,
    load_weights,
    read_checkpoint,
    resolve,
    save_checkpoint,
    tell_spare_rows,
    to_published,
)
from bertsmith.engine.choosing import EngineName, InferencePrecision, choose_engine
from bertsmith.engine.engine import Engine
from bertsmith.errors import CheckpointError, SettingsError, count
from bertsmith.model.config import BertConfig
from bertsmith.model.heads import EncoderModel
from bertsmith.tables import Table, read
from bertsmith.tables.memory import Data, path_or_table, rows_of
from bertsmith.tasks import Answer, Classify, Columns, Encoded, Examples, Tag, Task, task_named
from bertsmith.tasks.embed import Embed
from bertsmith.tasks.regress import Regress
from bertsmith.text import Tokenizer
from bertsmith.text.pydocs import SOURCES
from bertsmith.text.recipe_files import read_max_length
from bertsmith.training.options import FitOptions, PrecisionName
from bertsmith.training.precision import Precision, choose_device, choose_precision


@dataclass
class TaskModel:
    """A model that answers.

    model:       encoder and head
    tokenizer:   of the model's vocabulary
    task:        what is asked of it
    max_length:  tokens that a sequence may have
    precision:   number format and device it computes in
    pass_tokens: most tokens computed at once
    engine_name: of what computes outputs; "torch" for a model whose weights change
    int8_from:   folder whose export in int8 computes outputs (see `choose_engine`); ``None`` for ``precision``
    threads:     of a CPU that OpenVINO may use; as many as the process may unless given
    differences: how the checkpoint it was loaded from differs from the model
    """

    model: EncoderModel
    tokenizer: Tokenizer
    task: Task
    max_length: int
    precision: Precision
    pass_tokens: int = FitOptions.pass_tokens
    engine_name: EngineName = "torch"
    int8_from: Path | None = None
    threads: int | None = None
    differences: Differences = field(default_factory=Differences)
    _chosen: tuple[EncoderModel, Engine] | None = field(default=None, init=False, repr=False)

    @classmethod
    def open(
        cls,
        name: str | Path,
        *,
        max_length: int | None = None,
        device: str = "auto",
        precision: InferencePrecision = "fp32",
        engine: EngineName = "auto",
        threads: int | None = None,
    ) -> TaskModel:
        """The model of a checkpoint: one of ours, one that transformers wrote with a head of a task, or a hub name.

        max_length: tokens that a sequence may have; unless given, as many as in training, or for a folder by other
                    software as many as its tokenizer says (``model_max_length``) and the encoder has positions for
        precision:  number format of matrix products; int8 on a CPU, as `export` left it in the folder
        engine:     what computes; see `choose_engine`. The weights are not to be changed then
        threads:    of a CPU that OpenVINO may use

        Raises `CheckpointError` for an encoder without a task, missing tensors, layers that the configuration does not
        have, and damaged files, `SettingsError` for a ``max_length`` beyond the encoder's positions.
        """
        checkpoint = read_checkpoint(resolve(name))
        _check_length(max_length, checkpoint)
        saved = (checkpoint.task or {}).get("max_length") or _usual_length(checkpoint) or math.inf
        built = cls._build(
            checkpoint,
            _task_of(checkpoint),
            device="cpu" if precision == "int8" else device,
            precision="fp32" if precision == "int8" else precision,
            max_length=max_length or saved,
        )
        built.differences.refuse(checkpoint.folder)
        built.differences = built.differences.but_pretraining()
        built.engine_name = engine
        built.threads = threads
        built.int8_from = checkpoint.folder if precision == "int8" else None
        return built

    @classmethod
    def start(
        cls,
        name: str | Path | Checkpoint,
        task: Task,
        *,
        max_length: int | None = None,
        seed: int,
        device: str = "auto",
        precision: PrecisionName = "auto",
        pass_tokens: int = FitOptions.pass_tokens,
        new_pooler: bool = False,
        dropout: float | None = None,
    ) -> TaskModel:
        """A published encoder with a new head for ``task``, to be trained. ``differences`` say what is new.

        name:        of the encoder, or its checkpoint where that has been read already
        max_length:  tokens that a sequence may have; unless given, the task's own number, or as many as the encoder
                     has positions for
        pass_tokens: most tokens computed at once
        new_pooler:  leave the checkpoint's pooler out (Zhang et al. 2021, "Revisiting few-sample BERT fine-tuning",
                     section 5, who start more of the top anew)
        dropout:     of the encoder, in place of what its configuration says

        Raises `CheckpointError` as `open` does, `SettingsError` for a ``max_length`` beyond the encoder's positions.
        """
        checkpoint = name if isinstance(name, Checkpoint) else read_checkpoint(resolve(name))
        _check_length(max_length, checkpoint)
        if new_pooler:
            kept = {name: one for name, one in checkpoint.weights.items() if not name.startswith("bert.pooler.")}
            checkpoint = dataclasses.replace(checkpoint, weights=kept)
        built = cls._build(
            checkpoint,
            task,
            device=device,
            precision=precision,
            max_length=max_length or task.default_max_length,
            seed=seed,
            dropout=dropout,
        )
        built.pass_tokens = pass_tokens
        built.differences.of_encoder().refuse(checkpoint.folder)
        return built

    @classmethod
    def _build(
        cls,
        checkpoint: Checkpoint,
        task: Task,
        *,
        device: str,
        precision: PrecisionName,
        max_length: float,
        seed: int = 0,
        dropout: float | None = None,
    ) -> TaskModel:
        config = _config_of(checkpoint)
        config = config if dropout is None else config.with_dropout(dropout)
        tokenizer = Tokenizer.from_folder(checkpoint.folder)
        checkpoint.check_vocabulary(tokenizer.vocab_size)
        task = task.fitted_to(checkpoint)
        model = task.build(config, torch.Generator().manual_seed(seed))
        differences = load_weights(model, checkpoint.weights, task.head)
        chosen = choose_precision(precision, choose_device(device))
        model.to(chosen.device).eval()
        return cls(
            model,
            tokenizer,
            task,
            int(min(max_length, config.max_position_embeddings)),
            chosen,
            differences=differences,
        )

    def predict(self, inputs: Any) -> list[Answer]:
        """One answer an input: a text or a mapping by column name, or any number of these or of pairs of texts, in a
        list, an array, a DataFrame, or anything else to iterate over.

        A classifier takes texts or pairs, a tagger texts or lists of words, a model that answers questions pairs
        (question, context), and one that chooses ``{"prompt": ..., "endings": [...]}``. Raises `DataError` for what it
        cannot take, naming the input by its number from 1. Warns, with `warnings`, of inputs that are cut.

        >>> model.predict(["what a lovely film", "what a waste of time"])      # doctest: +SKIP
        [{'label': 'positive', 'probabilities': {...}}, {'label': 'negative', 'probabilities': {...}}]
        """
        listed = [inputs] if isinstance(inputs, str | Mapping) else rows_of(inputs)
        if not listed:
            return []
        examples = self.task.examples_of_texts(listed)
        encoded = self.encode(examples)
        self._warn_of_cuts(encoded)
        return self.answers(encoded, examples)

    def encode(self, examples: Examples) -> Encoded:
        """The tokens of examples that the task has read; ``cut`` of them says what is too long to be read whole."""
        return self.task.encode(examples, self.tokenizer, self.max_length)

    def answers(self, encoded: Encoded, examples: Examples) -> list[Answer]:
        """One answer an example."""
        return self.task.answers(self.outputs(encoded), encoded, examples)

    def evaluate(
        self,
        data: Data,
        *,
        columns: Sequence[str] | None = None,
        text: str | None = None,
        text_pair: str | None = None,
        label: str | None = None,
    ) -> dict[str, float]:
        """Scores on labelled data: a file, an ``hf://`` address, a `Table`, rows as dicts, or a DataFrame.

        columns:                names for a file without a header
        text, text_pair, label: which columns hold what, if not found by their usual names

        Raises `DataError` for columns that are not there, and for labels that the model does not know. Warns, with
        `warnings`, of examples that are cut.
        """
        source = path_or_table(data, "data")
        table = source if isinstance(source, Table) else read(source, columns=columns, sources=SOURCES)
        examples, encoded = self.read(table, Columns(text, text_pair, label))
        self._warn_of_cuts(encoded)
        return self.scores(self.outputs(encoded), encoded, examples)

    def read(self, table: Table, columns: Columns) -> tuple[Examples, Encoded]:
        """The labelled examples of a table, and their tokens."""
        examples = self.task.read(table, columns)
        return examples, self.encode(examples)

    def outputs(self, encoded: Encoded) -> NDArray[np.float32]:
        """The head's outputs of all sequences."""
        return self.engine.outputs(encoded.sequences)

    def _warn_of_cuts(self, encoded: Encoded) -> None:
        if encoded.num_cut:
            warnings.warn(count(encoded.num_cut, f"input cut to {self.max_length} tokens"), stacklevel=3)

    @property
    def engine(self) -> Engine:
        """What computes the outputs."""
        if self._chosen is None or self._chosen[0] is not self.model:
            engine = choose_engine(
                self.engine_name,
                self.model,
                self.precision,
                int8=self.int8_from is not None,
                folder=self.int8_from,
                threads=self.threads,
                pass_tokens=self.pass_tokens,
            )
            self._chosen = self.model, engine
        return self._chosen[1]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Any) -> dict[str, float]:
        """The task's metrics of labelled examples, and the mean ``loss``."""
        scores = self.task.scores(outputs, encoded, examples)
        loss = self.task.evaluation_loss(outputs, encoded)
        return scores if loss is None else {**scores, "loss": loss}

    def save(
        self, folder: str | Path, *, record: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None
    ) -> None:
        """Write the checkpoint: a folder that transformers opens, with the task beside it in ``bertsmith.json``.

        record: what else ``bertsmith.json`` keeps (how it was trained)
        files:  further text files by name
        """
        config = describe_head(self.model.config.to_dict(), self.task.head, self.task.label_names, self.task.problem)
        save_checkpoint(
            Path(folder),
            config=config,
            weights=self._published_weights(),
            tokenizer_save=lambda place: self.tokenizer.save(
                place, max_length=self.model.config.max_position_embeddings
            ),
            task={
                "task": self.task.name,
                "settings": self.task.settings(),
                "max_length": self.max_length,
                **(record or {}),
            },
            sentence=self.task.sentence_files(self.model, self.max_length),
            files=files,
        )

    def _published_weights(self) -> dict[str, Tensor]:
        """The weights that ``model.safetensors`` holds: those of sentences' vectors stand in files of their own."""
        published = to_published(self.model.state_dict(), self.task.head)
        if self.task.head != "sentence":
            return published
        return {name: tensor for name, tensor in published.items() if name.startswith("bert.")}

    @property
    def news(self) -> list[str]:
        """What a person should know of how checkpoint, model and tokenizer differ, a line each."""
        spare = tell_spare_rows(self.model.config.vocab_size, self.tokenizer.vocab_size)
        return [*self.differences.news, *spare]

    @property
    def num_parameters(self) -> int:
        """Weights of encoder and head."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def _check_length(max_length: int | None, checkpoint: Checkpoint) -> None:
    positions = _config_of(checkpoint).max_position_embeddings
    if max_length is not None and max_length < 3:
        raise SettingsError(f"--max-length is {max_length}; it must be 3 or more")
    if max_length is not None and max_length > positions:
        raise SettingsError(
            f"--max-length is {max_length}, and {checkpoint.folder} has positions for {positions} tokens; "
            f"give {positions} or less"
        )


def _usual_length(checkpoint: Checkpoint) -> float | None:
    """Tokens of a sequence, as a folder by other software says."""
    sentence = checkpoint.sentence
    return (sentence.max_length if sentence else None) or read_max_length(checkpoint.folder)


def _config_of(checkpoint: Checkpoint) -> BertConfig:
    return BertConfig.from_dict(checkpoint.config, where=str(checkpoint.folder / "config.json"))


def _task_of(checkpoint: Checkpoint) -> Task:
    """The task a checkpoint was trained for: as recorded, or as its configuration shows."""
    record = checkpoint.task
    if record is not None and "task" in record:
        try:
            return task_named(record["task"])(**record["settings"])
        except (TypeError, KeyError, SettingsError) as error:
            raise CheckpointError(
                f"{checkpoint.folder / 'bertsmith.json'}: not a task this version knows ({error})"
            ) from None
    if checkpoint.sentence is not None:
        return Embed()
    head = head_of(checkpoint.config)
    labels = labels_of(checkpoint.config)
    problem = checkpoint.config.get("problem_type")
    if head is None:
        named = ", ".join(checkpoint.config.get("architectures") or ["no head"])
        raise CheckpointError(
            f"{checkpoint.folder}: an encoder without a task ({named}); train one on it with: "
            f"bertsmith finetune --model {checkpoint.folder} --task classify --train FILE --out FOLDER"
        )
    if head == "sequence" and (problem == "regression" or (labels is not None and len(labels) == 1)):
        return Regress()
    if head == "sequence":
        return Classify(labels=tuple(labels or ("0", "1")), multi_label=problem == "multi_label_classification")
    if head == "token":
        if labels is None:
            raise CheckpointError(f"{checkpoint.folder / 'config.json'}: names no labels (id2label) for its tags")
        return Tag.from_labels(labels)
    return task_named("choose" if head == "choice" else "answer")()
