"""pretrain: a corpus -> an encoder that knows its language.

The recipe: open the corpus, start or load the model, train it on instances made as they are read, score it on the
held-out documents, save, report.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bertsmith.corpus.instances import Builder, Stream
from bertsmith.corpus.shards import Corpus
from bertsmith.engine.language_model import LanguageModel
from bertsmith.errors import SettingsError
from bertsmith.model.config import BertConfig, preset
from bertsmith.report.html import REPORT_NAME, write_report
from bertsmith.report.log import LOG_NAME, read_curves
from bertsmith.report.metrics import RunMetrics, describe_machine, per_second, write_metrics
from bertsmith.report.record import Report
from bertsmith.report.terminal import tabulate_scores
from bertsmith.settings import to_command, to_flat
from bertsmith.stages.phase import Phase, run_phase
from bertsmith.stages.pretrain_settings import DEFAULT_PRESET, PretrainSettings
from bertsmith.stages.run_folder import RunFolder
from bertsmith.training import Evaluation, FitResult
from bertsmith.training.corpus_plan import CorpusPlan, to_batch
from bertsmith.training.loop import INTERRUPTED
from bertsmith.training.objectives import pretraining_loss
from bertsmith.training.processes import Processes, processes_of_launcher

# What may differ between a run and its resumption: none of it changes the weights. The corpus counts by its contents.
_FREE = ("resume", "overwrite", "out", "corpus", "log_every", "save_every", "pass_tokens")


@dataclass(frozen=True)
class Outcome:
    """What pretraining came to: how it went, and the scores on the held-out documents."""

    trained: FitResult
    scores: dict[str, float]


def pretrain(settings: PretrainSettings, *, console: Console | None = None) -> LanguageModel | None:
    """Pretrain an encoder, and leave checkpoint, log, metrics and report in ``settings.out``.

    console: where progress is told; standard error if none is given

    Returns the trained model; ``None`` where a signal broke training off, its state being saved.
    """
    with processes_of_launcher() as processes, broken_off_by_signal() as interrupted, ExitStack() as stack:
        console = (console or Console(stderr=True)) if processes.first else Console(quiet=True)
        corpus = Corpus.open(settings.corpus)
        model = start_model(settings, corpus)
        folder = RunFolder(Path(settings.out))
        if processes.first:
            stack.enter_context(folder.held(resume=settings.resume, overwrite=settings.overwrite))
        plan = plan_steps(settings, corpus, model, processes)
        show_plan(settings, corpus, model, plan, processes, console)
        if processes.first:
            folder.begin(train=settings.corpus, overwrite=settings.overwrite)
        phase = Phase(
            "state",
            model.model,
            plan,
            pretraining_loss,
            settings.fit,
            model.precision,
            identify(settings, corpus),
            evaluate=evaluator(settings, corpus, model),
            logged=True,
            processes=processes,
        )
        trained = run_phase(phase, folder, console, resume=settings.resume, interrupted=interrupted)
        if trained.stopped == INTERRUPTED:
            console.print(
                f"stopped at step {trained.progress.step:,}; the same command with --resume goes on from there"
            )
            return None
        if processes.first:
            evaluations = trained.progress.evaluations
            scores = {name: value for name, value in evaluations[-1].items() if name != "step"} if evaluations else {}
            write_outcome(Outcome(trained, scores), settings, corpus, model, folder)
            folder.end()
            if scores:
                console.print(tabulate_scores(scores, metric="mlm_loss"))
            console.print(f"model, metrics and report are in {folder.path}", highlight=False)
        return model


def start_model(settings: PretrainSettings, corpus: Corpus) -> LanguageModel:
    """Random weights of a published size, or the model to go on from."""
    tokenizer = corpus.tokenizer()
    origin: BertConfig | str
    if settings.model is None:
        positions = max(512, settings.instances.max_length)
        origin = dataclasses.replace(
            preset(settings.preset or DEFAULT_PRESET), vocab_size=corpus.vocab_size, max_position_embeddings=positions
        )
    else:
        origin = settings.model
    model = LanguageModel.start(
        origin,
        tokenizer,
        settings.kind,
        seed=settings.fit.seed,
        dropout=settings.dropout,
        device=settings.device,
        precision=settings.fit.precision,
    )
    positions = model.model.config.max_position_embeddings
    if settings.instances.max_length > positions:
        raise SettingsError(
            f"--max-length is {settings.instances.max_length}, and {settings.model} has positions for {positions} "
            f"tokens; give {positions} or less"
        )
    return model


def plan_steps(settings: PretrainSettings, corpus: Corpus, model: LanguageModel, processes: Processes) -> CorpusPlan:
    """The order of instances that the seed decides."""
    stream = Stream(corpus, settings.instances, seed=settings.fit.seed, batch_size=settings.fit.batch_size)
    return CorpusPlan(stream, pass_tokens=settings.fit.pass_tokens, processes=processes)


def show_plan(
    settings: PretrainSettings,
    corpus: Corpus,
    model: LanguageModel,
    plan: CorpusPlan,
    processes: Processes,
    console: Console,
) -> None:
    """Tell what is about to be trained on what."""
    tokens = sum(shard.tokens for shard in corpus.shards)
    documents = sum(shard.documents for shard in corpus.shards)
    console.print(
        f"{tokens:,} tokens in {documents:,} documents; {plan.steps_per_epoch:,} steps of {plan.batch_size} instances "
        f"are an epoch",
        highlight=False,
    )
    for line in model.news:
        console.print(line, highlight=False, markup=False)
    precision = model.precision
    together = f", {processes.number} processes" if processes.number > 1 else ""
    console.print(
        f"{model.num_parameters:,} parameters, {precision.name} on {precision.device} ({precision.why}){together}",
        highlight=False,
        markup=False,
    )


def evaluator(settings: PretrainSettings, corpus: Corpus, model: LanguageModel) -> Callable[[], Evaluation] | None:
    """Scores the model on the held-out documents, always masked alike; ``None`` for a corpus that has none."""
    if corpus.held_out is None:
        return None
    builder = Builder(corpus.tokenizer(), settings.instances, settings.fit.seed)
    shard = corpus.held_out_shard()

    @torch.inference_mode()
    def evaluate() -> Evaluation:
        sums: dict[str, tuple[float, float]] = {}
        with model.precision.compute():
            for built in builder.in_order(shard, settings.fit.batch_size):
                batch = to_batch(built, share=1.0, step_masked=float(len(built.masked_ids)))
                loss = pretraining_loss(model.model, batch.to(model.precision.device))
                for name, (total, number) in loss.parts.items():
                    before = sums.get(name, (0.0, 0.0))
                    sums[name] = before[0] + float(total), before[1] + float(number)
        scores = {name: total / number for name, (total, number) in sums.items() if number}
        scores["loss"] = scores["mlm_loss"] + scores.get("nsp_loss", 0.0)
        return Evaluation(scores, -scores["loss"])

    return evaluate


def identify(settings: PretrainSettings, corpus: Corpus) -> dict[str, Any]:
    """What must be the same for a resumed run to end as the unbroken one."""
    values = {name: value for name, value in to_flat(settings).items() if name not in _FREE}
    return {**values, "the corpus": [shard.checksum for shard in corpus.shards]}


def write_outcome(
    outcome: Outcome, settings: PretrainSettings, corpus: Corpus, model: LanguageModel, folder: RunFolder
) -> None:
    """Write the checkpoint, then the report, and last ``metrics.json``, which says that the run has ended."""
    progress = outcome.trained.progress
    repeated = dataclasses.replace(settings, resume=False, overwrite=False)
    told = {
        name: value if isinstance(value, str | int | float | bool) else str(value)
        for name, value in to_flat(repeated).items()
        if value is not None and name not in ("out", "resume", "overwrite")
    }
    record = {"pretraining": {"steps": progress.step, "scores": outcome.scores, "settings": told}}
    model.save(folder.path, record=record)
    name = folder.path.resolve().name
    seconds = progress.seconds
    report = Report(
        title=f"pretraining: {name}",
        command=to_command("pretrain", repeated),
        task="pretraining",
        model=settings.model or settings.preset or DEFAULT_PRESET,
        headline=outcome.scores,
        settings=told,
        max_length=settings.instances.max_length,
        curves=read_curves(folder.path / LOG_NAME),
        metric="mlm_loss",
        timing={
            "training": f"{seconds:,.1f} s",
            "steps": f"{progress.step:,} ({outcome.trained.stopped})",
            "tokens per second": f"{per_second(progress.tokens, seconds):,.0f}",
        },
        environment=describe_machine(str(model.precision.device), model.precision.name),
    )
    write_report(report, folder.path / REPORT_NAME)
    write_metrics(
        folder.path,
        RunMetrics(
            task="pretraining",
            scores=outcome.scores,
            metric="mlm_loss",
            best_step=progress.best_step,
            train_seconds=seconds,
            examples=progress.rows,
            tokens=progress.tokens,
            steps=progress.step,
            epochs=progress.tokens / max(1, sum(shard.tokens for shard in corpus.shards)),
            device=str(model.precision.device),
            precision=model.precision.name,
            parameters=model.num_parameters,
            settings=told,
        ),
    )


@contextmanager
def broken_off_by_signal() -> Iterator[Callable[[], bool]]:
    """Says whether SIGTERM has come, so that the step being taken is the last, and its state is saved."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield came.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.set())
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
