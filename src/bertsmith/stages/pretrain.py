"""pretrain: a corpus -> an encoder that knows its language.

The recipe: open the corpus, start or load the model, train it phase by phase on instances made as they are read, score
it on the held-out documents, save, report.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from bertsmith.corpus.instances import Stream
from bertsmith.corpus.shards import Corpus
from bertsmith.corpus.unigram import unigram_loss
from bertsmith.engine.language_model import LanguageModel
from bertsmith.errors import SettingsError
from bertsmith.model.config import BertConfig, preset
from bertsmith.model.work import training_flops
from bertsmith.report.terminal import tabulate_scores
from bertsmith.settings import to_flat
from bertsmith.stages.held_out import HeldOut
from bertsmith.stages.phase import Phase, run_phase
from bertsmith.stages.pretrain_outcome import EndedPhase, Outcome, write_outcome
from bertsmith.stages.pretrain_settings import DEFAULT_PRESET, PretrainSettings
from bertsmith.stages.run_folder import RunFolder
from bertsmith.training.corpus_plan import CorpusPlan
from bertsmith.training.objectives import pretraining_loss
from bertsmith.training.peak import measure_peak
from bertsmith.training.processes import Processes, processes_of_launcher
from bertsmith.training.step import INTERRUPTED

# What may differ between a run and its resumption: none of it changes the weights. The corpus counts by its contents.
_FREE = ("resume", "overwrite", "out", "corpus", "log_every", "save_every", "phases", "device")
# What changes them, and may be changed all the same: a run that went astray, or found too little memory, goes on from
# its last good state.
_ADJUSTABLE = frozenset(
    {
        "lr",
        "end_lr",
        "warmup",
        "clip_norm",
        "max_skipped",
        "eval_every",
        "pass_tokens",
        "precision",
        "the device",
        "the processes",
    }
)


def pretrain(settings: PretrainSettings, *, console: Console | None = None) -> LanguageModel | None:
    """Pretrain an encoder, and leave checkpoint, log, metrics and report in ``settings.out``.

    console: where progress is told; standard error if none is given

    Returns the trained model; ``None`` where a signal broke training off, its state being saved.
    """
    with (
        processes_of_launcher(settings.device) as processes,
        broken_off_by_signal() as interrupted,
        ExitStack() as stack,
    ):
        console = (console or Console(stderr=True)) if processes.first else Console(quiet=True)
        corpus = Corpus.open(settings.corpus)
        model = start_model(settings, corpus)
        folder = RunFolder(Path(settings.out))
        if processes.first:
            stack.enter_context(folder.held(resume=settings.resume, overwrite=settings.overwrite))
        unigram = unigram_loss(corpus) if processes.first and corpus.held_out is not None else None
        show_start(corpus, model, unigram, processes, console)
        if processes.first:
            folder.begin(train=settings.corpus, overwrite=settings.overwrite)

        peak = processes.number * measure_peak(model.precision) if processes.first else math.nan  # the first logs
        phases = settings.each_phase()
        ended: list[EndedPhase] = []
        for one in phases:
            plan = stack.enter_context(closing(plan_steps(one, corpus, processes)))
            phase = make_phase(phases, ended, plan, corpus, model, folder, processes, peak)
            show_phase(phases, ended, plan, phase, console)
            result = run_phase(phase, folder, console, resume=settings.resume, interrupted=interrupted)
            if result.stopped == INTERRUPTED:
                step = phase.steps_before + result.progress.step
                console.print(f"stopped at step {step:,}; the same command with --resume goes on from there")
                return None
            ended.append(EndedPhase(result, plan.steps_per_epoch))

        if processes.first:
            outcome = Outcome.of(ended, unigram, kept_best=phases[-1].fit.keep_best)
            write_outcome(outcome, settings, model, folder)
            folder.end()
            if outcome.scores:
                console.print(tabulate_scores(outcome.scores, metric="loss"))
            console.print(f"model, metrics and report are in {folder.path}", highlight=False)
        return model


def start_model(settings: PretrainSettings, corpus: Corpus) -> LanguageModel:
    """Random weights of a published size, or the model to go on from."""
    tokenizer = corpus.tokenizer()
    origin: BertConfig | str
    if settings.model is None:
        origin = dataclasses.replace(
            preset(settings.preset or DEFAULT_PRESET),
            vocab_size=corpus.vocab_size,
            max_position_embeddings=max(512, settings.longest),
        )
    else:
        origin = settings.model
    model = LanguageModel.start(
        origin,
        tokenizer,
        settings.kind,
        seed=settings.fit.seed,
        device=settings.device,
        precision=settings.fit.precision,
    )
    if settings.dropout is not None:
        # Its configuration says so, too: an encoder that learnt without dropout is fine-tuned without it
        # (docs/lab-notes.md: with it, it forgets more than it learns).
        rate = settings.dropout
        model.model.encoder.set_dropout(rate)
        model.model.config = model.model.config.with_dropout(rate)
    positions = model.model.config.max_position_embeddings
    if settings.longest > positions:
        raise SettingsError(
            f"--max-length is {settings.longest}, and {settings.model} has positions for {positions} tokens; give "
            f"{positions} or less"
        )
    return model


def plan_steps(settings: PretrainSettings, corpus: Corpus, processes: Processes) -> CorpusPlan:
    """The order of instances that the seed decides. Raises `SettingsError` for fewer of them than processes."""
    if settings.fit.batch_size < processes.number:
        raise SettingsError(
            f"--batch-size is {settings.fit.batch_size}, and {processes.number} processes share it; each needs one "
            f"instance at least"
        )
    stream = Stream(corpus, settings.instances, seed=settings.fit.seed, batch_size=settings.fit.batch_size)
    return CorpusPlan(stream, pass_tokens=settings.fit.pass_tokens, processes=processes)


def make_phase(
    phases: Sequence[PretrainSettings],
    ended: Sequence[EndedPhase],
    plan: CorpusPlan,
    corpus: Corpus,
    model: LanguageModel,
    folder: RunFolder,
    processes: Processes,
    peak: float,
) -> Phase:
    """The phase behind those that have ended."""
    one = phases[len(ended)]
    names = ["state", *(f"state-{number}" for number in range(2, len(phases) + 1))]
    begun_next = one.resume and any(folder.has_state(name) for name in names[len(ended) + 1 :])
    return Phase(
        name=names[len(ended)],
        model=model.model,
        plan=plan,
        loss=pretraining_loss,
        options=one.fit,
        precision=model.precision,
        identity=identify(one, corpus, model, processes),
        adjustable=_ADJUSTABLE,
        evaluate=None if corpus.held_out is None else HeldOut(corpus, one, model).evaluate,
        logged=not begun_next,  # otherwise the log has all of it, and lines behind it
        followed=len(ended) + 1 < len(phases),
        steps_before=sum(before.result.progress.step for before in ended),
        share_of=peak / flops_per_token(one, model, plan),
        processes=processes,
    )


def flops_per_token(settings: PretrainSettings, model: LanguageModel, plan: CorpusPlan) -> float:
    """The arithmetic that a token of this plan takes, by the instances of its first shard."""
    lengths = plan.stream.lengths()
    guessed = {"causal": 1.0, "next_sentence": 0.0}.get(settings.kind, settings.instances.mask_rate)
    return training_flops(model.model.config, span=float((lengths**2).sum() / lengths.sum()), guessed=guessed)


def identify(settings: PretrainSettings, corpus: Corpus, model: LanguageModel, processes: Processes) -> dict[str, Any]:
    """What must be the same for a resumed phase to end as the unbroken one."""
    values = {name: value for name, value in to_flat(settings).items() if name not in _FREE}
    return {
        **values,
        "precision": model.precision.name,
        "the device": model.precision.device.type,
        "the processes": processes.number,
        "the model": model.model.config.to_dict(),
        "the corpus": [part.checksum for part in corpus.manifest.parts],
    }


def show_start(
    corpus: Corpus, model: LanguageModel, unigram: float | None, processes: Processes, console: Console
) -> None:
    """Tell what is about to be trained on what."""
    tokens = sum(shard.tokens for shard in corpus.shards)
    documents = sum(shard.documents for shard in corpus.shards)
    precision = model.precision
    together = f", {processes.number} processes" if processes.number > 1 else ""
    lines = [
        f"{tokens:,} tokens in {documents:,} documents",
        *model.news,
        f"{model.num_parameters:,} parameters, {precision.name} on {precision.device} ({precision.why}){together}",
    ]
    if unigram is not None:
        lines.append(f"guessing tokens by their frequency alone costs {unigram:.2f} on the held-out text")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_phase(
    phases: Sequence[PretrainSettings], ended: Sequence[EndedPhase], plan: CorpusPlan, phase: Phase, console: Console
) -> None:
    """Tell what a phase goes through."""
    which = f"phase {len(ended) + 1} of {len(phases)}: " if len(phases) > 1 else ""
    console.print(
        f"{which}{plan.steps_per_epoch:,} steps of {plan.batch_size} instances of "
        f"{phases[len(ended)].instances.max_length} tokens are an epoch; {phase.share_of:,.0f} tokens/s would be all "
        f"this machine computes",
        highlight=False,
        soft_wrap=True,
    )


@contextmanager
def broken_off_by_signal() -> Iterator[Callable[[], bool]]:
    """Says whether SIGTERM has come, so that the step being taken is the last, and its state is saved."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield came.is_set
        return

    def first(number: int, frame: object) -> None:
        came.set()
        signal.signal(signal.SIGTERM, before)  # a second one is not waited for

    before = signal.signal(signal.SIGTERM, first)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
