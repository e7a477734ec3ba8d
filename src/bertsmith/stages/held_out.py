"""The held-out documents of a corpus, and how well a model guesses there."""

from __future__ import annotations

from functools import cached_property

import torch

from bertsmith.corpus.instances import Builder
from bertsmith.corpus.shards import Corpus
from bertsmith.corpus.unigram import unigram_loss
from bertsmith.engine.language_model import LanguageModel
from bertsmith.stages.pretrain_settings import PretrainSettings
from bertsmith.training import Evaluation
from bertsmith.training.corpus_plan import to_batch
from bertsmith.training.objectives import pretraining_loss


class HeldOut:
    """Scores a model on the documents that a corpus has set apart, always masked alike."""

    def __init__(self, corpus: Corpus, settings: PretrainSettings, model: LanguageModel) -> None:
        self.corpus = corpus
        self.model = model
        self._builder = Builder(corpus.tokenizer(), settings.instances, settings.fit.seed)
        self._batch_size = settings.fit.batch_size

    @cached_property
    def unigram_loss(self) -> float:
        """What guessing by frequency alone costs there."""
        return unigram_loss(self.corpus)

    @torch.inference_mode()
    def evaluate(self) -> Evaluation:
        """The means of the loss's parts over all held-out instances, and their total, the less of which the better."""
        sums: dict[str, tuple[float, float]] = {}
        with self.model.precision.compute():
            for built in self._builder.in_order(self.corpus.held_out_shard(), self._batch_size):
                batch = to_batch(built, share=1.0, step_masked=float(len(built.masked_ids)))
                loss = pretraining_loss(self.model.model, batch.to(self.model.precision.device))
                for name, (total, number) in loss.parts.items():
                    before = sums.get(name, (0.0, 0.0))
                    sums[name] = before[0] + float(total), before[1] + float(number)
        scores = {name: total / number for name, (total, number) in sums.items() if number}
        scores["loss"] = sum(value for name, value in scores.items() if name.endswith("_loss"))
        return Evaluation(scores, -scores["loss"])
