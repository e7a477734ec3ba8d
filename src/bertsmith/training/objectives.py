"""The losses of pretraining: masked tokens, next sentence, both, and the next token.

Enters: a `PretrainingModel` and a batch that says what was masked. Leaves: a `Loss`. Logits are computed where they are
asked for alone: at the masked places, a seventh of the tokens.

Targets of a batch, as far as the objective needs them:

    masked_places (M,)  places of the masked tokens among the N packed ones
    masked_ids    (M,)  the tokens that stood there
    random_next   (B,)  1 where the second text is a random one, 0 where it is next
    share         (1,)  the share of the step's rows that this batch holds
    step_masked   (1,)  masked tokens in the whole step

The published total is the mean over masked tokens plus the mean over pairs (Devlin et al. 2018, section 3.1; -100 in
published code stands for places that are not in ``masked_places``). A step computed in several passes or by several
processes must divide by the counts of the whole step, which is why a batch knows them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.model.batch import Batch
from bertsmith.model.pretraining import PretrainingModel
from bertsmith.training.loss import Loss
from bertsmith.training.vocabulary_loss import VocabularyLoss, vocabulary_loss


def pretraining_loss(model: PretrainingModel, batch: Batch) -> Loss:
    """Masked tokens and next sentence, or the one that the model's kind has."""
    if model.head_kind == "causal":
        return causal_loss(model, unmasked(batch))
    x, layout = model.vectors(unmasked(batch) if model.head_kind == "next_sentence" else batch)
    rows, share = len(batch.lengths), batch.targets["share"][0]
    total = x.new_zeros((), dtype=torch.float32)
    parts: dict[str, tuple[Tensor, Tensor | float]] = {}
    if model.head.tokens is not None:
        targets = batch.targets["masked_ids"]
        guessed = _guess(model, x.index_select(0, batch.targets["masked_places"]), targets)
        total = total + guessed.sum / batch.targets["step_masked"][0]
        parts["mlm_loss"] = guessed.sum, len(targets)
        parts["mlm_accuracy"] = guessed.correct, len(targets)
    if model.head.next_sentence is not None:
        logits = model.head.next_sentence(x, layout).float()
        random_next = batch.targets["random_next"]
        cost = F.cross_entropy(logits, random_next, reduction="sum")
        total = total + cost * share / rows
        parts["nsp_loss"] = cost, rows
        parts["nsp_accuracy"] = (logits.argmax(1) == random_next).sum(), rows
    # Counted in rows, as other losses are: a step's counts add up to its rows over passes and processes.
    step_rows = rows / share
    return Loss(total * step_rows, rows, parts)


def causal_loss(model: PretrainingModel, batch: Batch) -> Loss:
    """Every token from those before it: the targets are the ids themselves, one place on."""
    x, _ = model.vectors(batch)
    starts = torch.cumsum(batch.lengths, 0) - batch.lengths
    is_target = torch.ones(len(batch.ids), dtype=torch.bool)
    is_target[starts] = False  # nothing stands before a first token
    places = torch.nonzero(is_target).squeeze(1).to(x.device)
    guessed = _guess(model, x.index_select(0, places - 1), batch.ids.index_select(0, places))
    parts: dict[str, tuple[Tensor, Tensor | float]] = {
        "lm_loss": (guessed.sum, len(places)),
        "lm_accuracy": (guessed.correct, len(places)),
    }
    return Loss(guessed.sum, len(places), parts)


def unmasked(batch: Batch) -> Batch:
    """The batch as its text was, for models that are to read it whole."""
    places, ids = batch.targets.get("masked_places"), batch.targets.get("masked_ids")
    return batch if places is None or ids is None else replace(batch, ids=batch.ids.index_copy(0, places, ids))


def _guess(model: PretrainingModel, x: Tensor, targets: Tensor) -> VocabularyLoss:
    """The cost of guessing the targets (M,) from the vectors x (M, D)."""
    assert model.head.tokens is not None
    return vocabulary_loss(model.head.tokens(x), model.words, model.head.tokens.bias, targets)
