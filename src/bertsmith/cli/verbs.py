"""The verbs as functions of their options, for the command line to call.

Imported when a verb is first needed: its options are those of the stage, and stages import the machinery.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertsmith.stages.cluster import ClusterSettings
from bertsmith.stages.embed import EmbedSettings
from bertsmith.stages.evaluate import EvaluateSettings
from bertsmith.stages.export import ExportSettings
from bertsmith.stages.fill import FillSettings
from bertsmith.stages.finetune_settings import FinetuneSettings
from bertsmith.stages.index import IndexSettings
from bertsmith.stages.inspect import InspectSettings
from bertsmith.stages.instances_settings import InstancesSettings
from bertsmith.stages.predict import PredictSettings
from bertsmith.stages.prepare_settings import PrepareSettings
from bertsmith.stages.pretrain_settings import PretrainSettings
from bertsmith.stages.quickstart_settings import QuickstartSettings
from bertsmith.stages.search import SearchSettings
from bertsmith.stages.serve import ServeSettings
from bertsmith.stages.similar import SimilarSettings
from bertsmith.stages.vocab_settings import VocabSettings
from bertsmith.stages.whiten import WhitenSettings

_FLAT = Parameter(name="*")  # the options of a settings class stand side by side with those of the classes in it
Config = Annotated[
    Path | None,
    Parameter(help="TOML file of options, named as the flags are; flags win over it."),
]  # read by `bertsmith.cli.config_file`, before the functions below are called


def vocab(*, settings: Annotated[VocabSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.vocab import vocab as run

    run(settings)


def prepare(*, settings: Annotated[PrepareSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.prepare import prepare as run

    run(settings)


def instances(*, settings: Annotated[InstancesSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.instances import instances as run

    run(settings)


def finetune(*, settings: Annotated[FinetuneSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.finetune import finetune as run  # draws figures, which takes a while to import

    run(settings)


def pretrain(*, settings: Annotated[PretrainSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.pretrain import pretrain as run  # draws figures, as finetune

    if run(settings) is None:
        sys.exit(128 + signal.SIGTERM)


def fill(*, settings: Annotated[FillSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.fill import fill as run

    run(settings)


def evaluate(*, settings: Annotated[EvaluateSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.evaluate import evaluate as run

    run(settings)


def embed(*, settings: Annotated[EmbedSettings | None, _FLAT] = None, config: Config = None) -> None:
    from bertsmith.stages.embed import embed as run

    run(settings or EmbedSettings())


def index(*, settings: Annotated[IndexSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.index import index as run

    run(settings)


def search(*, settings: Annotated[SearchSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.search import search as run

    run(settings)


def similar(*, settings: Annotated[SimilarSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.similar import similar as run

    run(settings)


def cluster(*, settings: Annotated[ClusterSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.cluster import cluster as run

    run(settings)


def export(*, settings: Annotated[ExportSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.export import export as run

    run(settings)


def whiten(*, settings: Annotated[WhitenSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.whiten import whiten as run

    run(settings)


def predict(*, settings: Annotated[PredictSettings, _FLAT], config: Config = None) -> None:
    from bertsmith.stages.predict import predict as run

    run(settings)


def inspect(*, settings: Annotated[InspectSettings | None, _FLAT] = None, config: Config = None) -> None:
    from bertsmith.stages.inspect import inspect as run

    run(settings or InspectSettings())


def quickstart(*, settings: Annotated[QuickstartSettings | None, _FLAT] = None, config: Config = None) -> None:
    from bertsmith.stages.quickstart import quickstart as run

    run(settings or QuickstartSettings())


def serve(*, settings: Annotated[ServeSettings | None, _FLAT] = None, config: Config = None) -> None:
    from bertsmith.stages.serve import serve as run

    run(settings or ServeSettings())
