"""`bertsmith serve`: models behind HTTP, and a page to try them on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from cyclopts import Parameter

from bertsmith.checkpoint import resolve
from bertsmith.embedding.index import Index
from bertsmith.engine.choosing import EngineName, InferencePrecision
from bertsmith.errors import SettingsError
from bertsmith.serving.limits import Limits

if TYPE_CHECKING:
    from bertsmith.serving.served import Served

NEEDED = ("fastapi", "uvicorn", "httptools", "orjson", "prometheus_client")


@dataclass(frozen=True)
class ServeSettings:
    """What is served, where, and to whom."""

    model: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Folder or hub name of a model, or NAME=FOLDER; give --model again for more."""
    index: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Folder of an index, for search, or NAME=FOLDER; give --index again for more."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines ask."""
    port: int = 8000
    """Port to listen on; 0 takes a free one, which the log tells."""
    precision: InferencePrecision = "auto"
    """fp32, bf16, fp16, int8 (as export left it), or auto: bf16 where the processor has it, fp32 elsewhere."""
    engine: EngineName = "auto"
    """torch, openvino, or auto: OpenVINO on a CPU where it is installed, torch elsewhere."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    threads: int | None = None
    """Threads of the CPU; as many as there are for the process unless given."""
    max_length: int | None = None
    """Most tokens of a text; as many as each model says unless given."""
    api_key_file: Path | None = None
    """File of API keys, one a line; the variable BERTSMITH_API_KEY holds some as well. Without any, all may ask."""
    allow_origin: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Origin (https://host) of pages elsewhere whose scripts may ask; give it again for more."""
    log: Literal["auto", "json", "text", "off"] = "auto"
    """json, text, off, or auto: text on a terminal, json elsewhere."""
    log_texts: bool = False
    """Log what is asked, too. Texts are in no log otherwise."""
    limits: Annotated[Limits, Parameter(name="*")] = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.model and not self.index:
            raise SettingsError("give a --model to serve, such as --model starter, or an --index")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port is {self.port}; give a number from 0 to 65535")
        if self.threads is not None and self.threads < 1:
            raise SettingsError(f"--threads is {self.threads}; it must be 1 or more")


def serve(settings: ServeSettings) -> None:
    """Serve until a signal comes."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingsError(f"serve needs {', '.join(missing)}; pip install 'bertsmith[serve]'")
    from bertsmith.serving.journal import Journal
    from bertsmith.serving.keys import Keys
    from bertsmith.serving.server import bind, serve_on
    from bertsmith.serving.service import Service

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    indexes = {name: Index(folder) for name, folder in _named(settings.index, "index").items()}
    sources = _named(settings.model, "model")
    of_index = {name: _model_of(index, name, sources) for name, index in indexes.items()}
    form = ("text" if sys.stderr.isatty() else "json") if settings.log == "auto" else settings.log
    service = Service(
        {name: _opener(name, source, settings) for name, source in sources.items()},
        {name: (index, of_index[name]) for name, index in indexes.items()},
        limits=settings.limits,
        keys=Keys.read(settings.api_key_file),
        journal=Journal(form),
        log_texts=settings.log_texts,
    )
    serve_on(bind(settings.host, settings.port), service, settings.allow_origin)


def _named(given: tuple[str, ...], what: str) -> dict[str, str]:
    """Folders by the name that requests use: what stands before ``=``, or the folder's own, or the hub name."""
    found: dict[str, str] = {}
    for one in given:
        name, is_named, source = one.partition("=")
        if not is_named:
            name, source = Path(one).expanduser().resolve().name if Path(one).expanduser().is_dir() else one, one
        if not name or not source:
            raise SettingsError(f"--{what} {one!r}: give a folder, or NAME=FOLDER")
        if name in found:
            raise SettingsError(f"two --{what} are named {name!r}; name them: --{what} NAME=FOLDER")
        found[name] = source
    return found


def _model_of(index: Index, name: str, sources: dict[str, str]) -> str:
    """The name of the served model of an index's vectors, which is served, too, where no ``--model`` names it."""
    made = str(index.manifest.model["name"])
    for served, source in sources.items():
        if resolve(source).resolve() == resolve(made).resolve():
            return served
    served = Path(made).name
    if served in sources:
        raise SettingsError(f"--index {name}: its model {made} is not the --model {served!r}; name that otherwise")
    sources[served] = made
    return served


def _opener(name: str, source: str, settings: ServeSettings) -> Callable[[], Served]:
    from bertsmith.serving.kinds import open_model

    return partial(
        open_model,
        name,
        source,
        limits=settings.limits,
        device=settings.device,
        precision=settings.precision,
        engine=settings.engine,
        threads=settings.threads,
        max_length=settings.max_length,
    )
