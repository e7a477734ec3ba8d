"""finetune: labelled examples and an encoder -> a model of a task, with its report.

The recipe: prepare the data, train, assess, save, report.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bertsmith.engine import TaskModel
from bertsmith.report.terminal import tabulate_scores
from bertsmith.stages.dry_run import dry_run
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.outcome import assess, repeatable, write_outcome
from bertsmith.stages.prepared import prepare, show_data
from bertsmith.stages.run_folder import RunFolder
from bertsmith.stages.trained import refit, train


def finetune(settings: FinetuneSettings, *, console: Console | None = None) -> TaskModel:
    """Fine-tune an encoder on a task, and leave checkpoint, log, metrics and report in ``settings.out``.

    console: where progress is told; standard error if none is given

    Returns the trained model, ready to predict.
    """
    console = console or Console(stderr=True)
    folder = RunFolder(Path(settings.out))
    if settings.dry_run:
        folder.check(resume=settings.resume, overwrite=settings.overwrite)
        prepared = prepare(settings)
        show_data(prepared, console)
        dry_run(prepared, settings, console)
        return prepared.model

    with folder.held(resume=settings.resume, overwrite=settings.overwrite):
        prepared = prepare(settings)
        show_data(prepared, console)
        folder.begin(train=str(repeatable(settings).train), overwrite=settings.overwrite)
        trained = train(prepared, settings, folder, console)
        outcome = assess(prepared, trained, settings)
        if settings.refit:
            outcome = replace(outcome, refitted=refit(prepared, trained, settings, folder, console))
        write_outcome(outcome, prepared, folder)
        folder.end()
    if outcome.scores:
        console.print(tabulate_scores(outcome.scores, metric=outcome.metric))
    console.print(f"model, metrics and report are in {folder.path}", highlight=False)
    return prepared.model
