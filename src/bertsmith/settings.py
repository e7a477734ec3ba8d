"""Options by name -> frozen dataclasses, and back to a command line.

The command line, TOML files and keyword arguments in Python all name an option the same way. A settings class is a
dataclass of plain options and of nested option dataclasses (which belong to the parts that obey them); the names of all
of them lie in one flat space. An option may have further names, by which other software calls it.
"""

from __future__ import annotations

import dataclasses
import shlex
import typing
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar

from cyclopts import Parameter

from bertsmith.errors import SettingsError, nearest

Settings = TypeVar("Settings")

_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", NoneType: "None"}


def also_named(*names: str) -> Parameter:
    """Further names of an option, to annotate its field with: `from_flat`, the command line and TOML files take them.

    >>> rate: typing.Annotated[float, also_named("learning_rate")] = 1e-4
    """
    return Parameter(alias=["--" + name.replace("_", "-") for name in names])


def from_flat(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of a class from option values by flat name.

    A whole number is fine for an option that takes fractions, and 4.0 for one that takes whole numbers. Raises
    `SettingsError` for a name that is no option, naming the nearest, for two names of one option, for an option that
    must be given, and for a value that is not of its option's type.
    """
    return _build(kind, by_field(kind, values))


def by_field(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Option values by the names of their fields, whichever of its names an option was given by.

    Raises `SettingsError` for a name that is no option, naming the nearest, and for two names of one option.
    """
    fields = dict(_names(kind))
    given: dict[str, str] = {}
    for name in values:
        if name not in fields:
            raise SettingsError(f"there is no option {name!r}; {nearest(name, set(fields))}")
        if fields[name] in given:
            raise SettingsError(f"{given[fields[name]]!r} and {name!r} are one option; give one of them")
        given[fields[name]] = name
    return {field: values[name] for field, name in given.items()}


def to_command(verb: str, settings: Any) -> str:
    """The command line that gives these settings: every option that differs from its default."""
    words = ["bertsmith", verb]
    for field, value in _given(settings):
        flag = "--" + field.name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, bool):
            words.append("--no-" + flag.removeprefix("--"))
        else:
            words += [flag, repr(value) if isinstance(value, float) else str(value)]
    return shlex.join(words)


def to_flat(settings: Any) -> dict[str, Any]:
    """Every option's value by flat name."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        values |= to_flat(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return values


def _given(settings: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _given(value)
        elif value != field.default:
            yield field, value


def _nested(field: dataclasses.Field[Any]) -> type | None:
    """The class of a nested option dataclass, which its default factory is."""
    factory = field.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


def _names(kind: type) -> Iterator[tuple[str, str]]:
    """Every name of an option, and the name of its field."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        nested = _nested(field)
        if nested is not None:
            yield from _names(nested)
            continue
        yield field.name, field.name
        for parameter in getattr(hints[field.name], "__metadata__", ()):
            for flag in parameter.alias:
                yield flag.removeprefix("--").replace("-", "_"), field.name


def _build(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    arguments: dict[str, Any] = {}
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        nested = _nested(field)
        if nested is not None:
            arguments[field.name] = _build(nested, values)
        elif field.name in values:
            arguments[field.name] = _fitted(field.name, values[field.name], types[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{field.name!r} must be given")
    return kind(**arguments)


def _fitted(name: str, value: Any, hint: Any) -> Any:
    """The value as the type of its option has it. Raises `SettingsError` for one that is of another type."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)
    words = [word for kind in kinds if typing.get_origin(kind) is Literal for word in typing.get_args(kind)]
    if value in words or type(value) in kinds:
        return value
    if typing.get_origin(hint) is tuple and isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return value
    if float in kinds and type(value) is int:
        return float(value)
    if int in kinds and isinstance(value, float) and value.is_integer():
        return int(value)
    if any(isinstance(kind, type) and kind is not int and isinstance(value, kind) for kind in kinds):
        return value
    if isinstance(value, str) and words:
        raise SettingsError(f"{name} is {value!r}; {nearest(value, set(words))}")
    wanted = [repr(word) for word in words] + [
        _NAMES.get(kind, kind.__name__) for kind in kinds if isinstance(kind, type)
    ]
    raise SettingsError(f"{name} is {value!r:.60}; give {' or '.join(wanted)}")
