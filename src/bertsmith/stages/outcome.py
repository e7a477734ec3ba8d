"""What a run came to: its scores, and the files that tell of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertsmith.report.card import CARD_NAME, Card, render_card
from bertsmith.report.html import REPORT_NAME, write_report
from bertsmith.report.log import LOG_NAME, read_curves
from bertsmith.report.metrics import RunMetrics, describe_machine, per_second, write_metrics
from bertsmith.report.record import Report
from bertsmith.settings import to_command, to_flat
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.prepared import Prepared
from bertsmith.stages.run_folder import RunFolder
from bertsmith.tables import Table
from bertsmith.tasks.insight import Insight
from bertsmith.training import FitResult


@dataclass(frozen=True)
class Outcome:
    """Scores of the trained model on the evaluation split, and what they are made of.

    refitted: how training on both splits went, after which the split scores no longer; ``None`` without ``--refit``
    """

    settings: FinetuneSettings
    trained: FitResult
    scores: Mapping[str, float]
    metric: str
    insight: Insight
    refitted: FitResult | None = None


def assess(prepared: Prepared, trained: FitResult, settings: FinetuneSettings) -> Outcome:
    """Score the trained model once more, and look at its answers."""
    encoded = prepared.encoded.evaluation
    return judge(prepared, trained, settings, None if encoded is None else prepared.model.outputs(encoded))


def judge(
    prepared: Prepared, trained: FitResult, settings: FinetuneSettings, outputs: NDArray[np.float32] | None
) -> Outcome:
    """What outputs for the evaluation split, if there is one, come to."""
    model = prepared.model
    encoded, examples = prepared.encoded.evaluation, prepared.splits.evaluation
    if encoded is None or outputs is None:
        return Outcome(settings, trained, {}, settings.metric or model.task.metric, Insight())
    scores = model.scores(outputs, encoded, examples)
    metric = settings.metric or model.task.metric_among(scores)
    return Outcome(settings, trained, scores, metric, model.task.insight(outputs, encoded, examples))


def write_outcome(outcome: Outcome, prepared: Prepared, folder: RunFolder) -> None:
    """Write the checkpoint, then ``report.html``, and last ``metrics.json``, which says that the run has ended.

    The checkpoint holds no time, no duration and not the place of its folder: the same run gives the same bytes.
    """
    model, progress = prepared.model, outcome.trained.progress
    refit = None if outcome.refitted is None else outcome.refitted.progress
    name = folder.path.resolve().name
    settings = repeatable(outcome.settings)
    told = {
        option: value if isinstance(value, str | int | float | bool) else str(value)
        for option, value in to_flat(settings).items()
        if value is not None and option not in ("out", "resume", "overwrite", "dry_run")
    }
    card = Card(
        name=name,
        task=model.task.name,
        scores=outcome.scores,
        labels=model.task.label_names or (),
        base_model=_hub_name(settings.model),
        scored_on=_scored_on(settings),
        refitted=refit is not None,
        pair=bool(getattr(model.task, "pairs", False)),
        several=bool(getattr(model.task, "multi_label", False)),
        for_transformers=model.model.config.is_published_kind,
        parameters=model.num_parameters,
        max_length=model.max_length,
        splits=prepared.described,
        settings=told,
        command=to_command("finetune", dataclasses.replace(settings, out=name)),
    )
    model.save(
        folder.path,
        record={
            "base_model": settings.model,
            "steps": (refit or progress).step,
            "scores": dict(outcome.scores),
            "training": told,
        },
        files={CARD_NAME: render_card(card)},
    )
    seconds = progress.seconds
    report = Report(
        title=f"{model.task.name}: {name}",
        command=to_command("finetune", settings),
        task=model.task.name,
        model=settings.model,
        headline=outcome.scores,
        settings=told,
        splits=prepared.described,
        max_length=model.max_length,
        findings=[finding.message for finding in prepared.findings],
        curves=read_curves(folder.path / LOG_NAME),
        metric=outcome.metric,
        best_step=progress.best_step if settings.fit.keep_best or refit else None,
        refit_steps=None if refit is None else refit.step,
        insight=outcome.insight,
        timing={
            "training": f"{seconds:,.1f} s",
            "steps": f"{progress.step:,} ({outcome.trained.stopped})",
            "examples per second": f"{per_second(progress.rows, seconds):,.1f}",
            "tokens per second": f"{per_second(progress.tokens, seconds):,.0f}",
            **({} if refit is None else {"refit on train + eval": f"{refit.step:,} steps, {refit.seconds:,.1f} s"}),
        },
        environment=describe_machine(str(model.precision.device), model.precision.name),
    )
    write_report(report, folder.path / REPORT_NAME)
    write_metrics(
        folder.path,
        RunMetrics(
            task=model.task.name,
            scores=outcome.scores,
            metric=outcome.metric,
            best_step=progress.best_step,
            train_seconds=seconds,
            examples=progress.rows,
            tokens=progress.tokens,
            steps=progress.step,
            epochs=progress.rows / max(1, prepared.num_rows),
            device=str(model.precision.device),
            precision=model.precision.name,
            parameters=model.num_parameters,
            settings=told,
            refit=None if refit is None else {"steps": refit.step, "train_seconds": round(refit.seconds, 3)},
        ),
    )


def repeatable(settings: FinetuneSettings) -> FinetuneSettings:
    """The settings that give this run from its start: rows from memory by their name, no flag about an earlier run."""

    def named(data: str | Table) -> str:
        return data.path if isinstance(data, Table) else data

    return dataclasses.replace(
        settings,
        train=named(settings.train),
        eval=None if settings.eval is None else named(settings.eval),
        resume=False,
        overwrite=False,
    )


def _scored_on(settings: FinetuneSettings) -> str:
    """What the evaluation split is, without the place of its file."""
    if settings.eval is not None:
        return Path(str(settings.eval)).name
    return f"the held-out part of {Path(str(settings.train)).name}"


def _hub_name(model: str) -> str:
    """The hub's name of the encoder a run started from, if it has one there."""
    if model == "starter":
        return "sentence-transformers/all-MiniLM-L6-v2"
    return "" if Path(model).expanduser().exists() else model
