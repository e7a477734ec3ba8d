"""What pretraining came to, and the files that tell it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertsmith.checkpoint.architecture import PRETRAINING_HEADS
from bertsmith.engine.language_model import LanguageModel
from bertsmith.model.heads import PretrainingKind
from bertsmith.report.card import CARD_NAME
from bertsmith.report.html import REPORT_NAME, write_report
from bertsmith.report.log import LOG_NAME, read_curves
from bertsmith.report.metrics import RunMetrics, describe_machine, per_second, write_metrics
from bertsmith.report.pretraining_card import PretrainingCard, render_pretraining_card
from bertsmith.report.record import Report
from bertsmith.settings import to_command, to_flat
from bertsmith.stages.pretrain_settings import DEFAULT_PRESET, PretrainSettings
from bertsmith.stages.run_folder import RunFolder
from bertsmith.training import FitResult

_LEARNT: dict[PretrainingKind, str] = {
    "pretraining": "to guess masked tokens, and whether one text follows another,",
    "masked": "to guess masked tokens",
    "next_sentence": "whether one text follows another",
    "causal": "to guess the next token",
}


@dataclass(frozen=True)
class EndedPhase:
    """How a phase went, and how many of its steps were an epoch."""

    result: FitResult
    steps_per_epoch: int


@dataclass(frozen=True)
class Outcome:
    """What all phases of a run came to.

    scores:       on the held-out documents, of the weights that were kept; empty where there are none
    unigram_loss: what guessing by frequency alone costs there
    stopped:      why the last phase ended
    skipped:      steps that changed nothing, because their numbers were not finite
    epochs:       how often all of the corpus was gone through
    """

    scores: dict[str, float]
    unigram_loss: float | None
    stopped: str
    steps: int
    rows: int
    tokens: int
    seconds: float
    skipped: int
    epochs: float
    best_step: int | None

    @classmethod
    def of(cls, ended: Sequence[EndedPhase], unigram_loss: float | None, *, kept_best: bool) -> Outcome:
        """The sum of what the phases came to, and the last one's scores: with ``kept_best`` those of its best step."""
        progress = [one.result.progress for one in ended]
        last = progress[-1]
        before = sum(one.step for one in progress[:-1])
        told = [one for one in last.evaluations if not kept_best or one["step"] == last.best_step]
        tokens = sum(one.tokens for one in progress)
        return cls(
            scores={name: value for name, value in (told[-1] if told else {}).items() if name != "step"},
            unigram_loss=unigram_loss,
            stopped=ended[-1].result.stopped,
            steps=before + last.step,
            rows=sum(one.rows for one in progress),
            tokens=tokens,
            seconds=sum(one.seconds for one in progress),
            skipped=sum(one.skipped for one in progress),
            epochs=sum(one.result.progress.step / one.steps_per_epoch for one in ended),
            best_step=None if last.best_step is None else before + last.best_step,
        )


def write_outcome(outcome: Outcome, settings: PretrainSettings, model: LanguageModel, folder: RunFolder) -> None:
    """Write the checkpoint, then the report, and last ``metrics.json``, which says that the run has ended."""
    repeated = dataclasses.replace(settings, resume=False, overwrite=False)
    told: dict[str, Any] = {
        name: value if isinstance(value, str | int | float | bool) else str(value)
        for name, value in to_flat(repeated).items()
        if value is not None and value != "" and name not in ("out", "resume", "overwrite")
    }
    unigram = outcome.unigram_loss
    baseline = {} if unigram is None else {"unigram_loss": unigram}
    kind = model.model.head_kind
    guessed = {"causal": "lm_loss", "next_sentence": "nsp_loss"}.get(kind, "mlm_loss")
    record = {"steps": outcome.steps, "scores": outcome.scores, **baseline, "settings": told}
    card = PretrainingCard(
        name=folder.path.resolve().name,
        learnt=_LEARNT[kind],
        architecture=PRETRAINING_HEADS[kind],
        scores=outcome.scores,
        unigram_loss=unigram if kind != "next_sentence" else None,
        parameters=model.num_parameters,
        tokens=outcome.tokens,
        settings=told,
    )
    model.save(folder.path, record={"pretraining": record}, files={CARD_NAME: render_pretraining_card(card)})
    timing = {
        "training": f"{outcome.seconds:,.1f} s",
        "steps": f"{outcome.steps:,} ({outcome.stopped})",
        "tokens per second": f"{per_second(outcome.tokens, outcome.seconds):,.0f}",
    }
    if outcome.skipped:
        timing["steps skipped"] = f"{outcome.skipped:,} (loss or gradient not finite)"
    report = Report(
        title=f"pretraining: {folder.path.resolve().name}",
        command=to_command("pretrain", repeated),
        task="pretraining",
        model=settings.model or settings.preset or DEFAULT_PRESET,
        headline={**outcome.scores, **baseline},
        settings=told,
        max_length=settings.longest,
        curves=read_curves(folder.path / LOG_NAME),
        metric=guessed,
        baseline={guessed: unigram} if unigram is not None and kind != "next_sentence" else {},
        timing=timing,
        environment=describe_machine(str(model.precision.device), model.precision.name),
    )
    write_report(report, folder.path / REPORT_NAME)
    write_metrics(
        folder.path,
        RunMetrics(
            task="pretraining",
            scores=outcome.scores,
            metric="loss",
            best_step=outcome.best_step,
            train_seconds=outcome.seconds,
            examples=outcome.rows,
            tokens=outcome.tokens,
            steps=outcome.steps,
            epochs=outcome.epochs,
            device=str(model.precision.device),
            precision=model.precision.name,
            parameters=model.num_parameters,
            settings=told,
            baseline=baseline or None,
        ),
    )
