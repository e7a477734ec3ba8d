"""The held-out documents of a corpus, and how well a model guesses there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bertsmith.corpus.instances import Builder
from bertsmith.corpus.shards import Corpus
from bertsmith.engine.language_model import LanguageModel
from bertsmith.stages.pretrain_settings import PretrainSettings
from bertsmith.text.ragged import runs_within
from bertsmith.training import Evaluation
from bertsmith.training.corpus_plan import to_batch
from bertsmith.training.objectives import pretraining_loss


class HeldOut:
    """Scores a model on the documents that a corpus has set apart, always masked alike."""

    def __init__(self, corpus: Corpus, settings: PretrainSettings, model: LanguageModel) -> None:
        self.corpus = corpus
        self.model = model
        # One seed for all runs, so that they are scored on the same instances and masks.
        self._builder = Builder(corpus.tokenizer(), settings.instances, seed=0)
        self._batch_size, self._pass_tokens = settings.fit.batch_size, settings.fit.pass_tokens

    @torch.inference_mode()
    def evaluate(self) -> Evaluation:
        """The means of the loss's parts over all held-out instances, and their total, the less of which the better."""
        sums: dict[str, Tensor] = {}
        with self.model.precision.compute():
            for built in self._builder.in_order(self.corpus.held_out_shard(), self._batch_size):
                for low, high in runs_within(built.lengths, self._pass_tokens):
                    batch = to_batch(built.part(low, high), share=1.0, step_masked=1.0)
                    loss = pretraining_loss(self.model.model, batch.to(self.model.precision.device))
                    for name, value in loss.measured().items():
                        sums[name] = sums[name] + value.double() if name in sums else value.double()
        if not sums:  # too little text for a single instance
            return Evaluation({}, math.nan)
        totals = {name: float(value) for name, value in sums.items()}
        scores = {
            name: total / totals[f"{name}.count"]
            for name, total in totals.items()
            if name != "loss" and totals.get(f"{name}.count")
        }
        scores["loss"] = sum(value for name, value in scores.items() if name.endswith("_loss"))
        return Evaluation(scores, -scores["loss"])
