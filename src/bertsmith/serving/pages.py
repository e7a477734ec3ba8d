"""The server's two pages for people: the playground, and the documentation of its routes. Nothing is fetched from
elsewhere.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CODE = re.compile("`([^`]+)`")
_PLACE = files("bertsmith.serving") / "page"


@cache
def playground() -> str:
    """The page of `page/playground.html` with its style and its script inside."""
    page = _read("playground.html")
    return page.replace("{{ css }}", _read("playground.css")).replace("{{ js }}", _read("playground.js"))


def documentation(openapi: dict[str, Any]) -> str:
    """A page that tells every route: what it takes, an example for the shell, what it gives."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    schemas = openapi.get("components", {}).get("schemas", {})
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in openapi["paths"].items():
        for method, told in methods.items():
            groups.setdefault(told["tags"][0], []).append(_route(path, method, told, schemas))
    return environment.from_string(_read("docs.html.j2")).render(
        groups=groups, css=_read("playground.css"), version=openapi["info"]["version"], title=openapi["info"]["title"]
    )


def _route(path: str, method: str, told: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = schemas.get(body.get("$ref", "").rpartition("/")[2], {})
    required = schema.get("required", [])
    answer = told["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    example = schema.get("example")
    return {
        "path": path,
        "method": method.upper(),
        "summary": told.get("summary", ""),
        "told": Markup(_CODE.sub(r"<code>\1</code>", escape(told.get("description", "")))),
        "fields": [
            {
                "name": name,
                "told": field.get("description", ""),
                "required": name in required,
                "default": None if field.get("default") is None else json.dumps(field["default"]),
            }
            for name, field in schema.get("properties", {}).items()
        ],
        "example": None if example is None else json.dumps(example, ensure_ascii=False),
        "answer": _shape(answer, schemas),
    }


def _shape(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A schema in a few words: ``[{label: string, score: number}]``."""
    if "$ref" in schema:
        return _shape(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_shape(one, schemas) for one in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"[{_shape(schema['items'], schemas)}]"
    if "properties" in schema:
        inside = ", ".join(f"{name}: {_shape(one, schemas)}" for name, one in schema["properties"].items())
        return "{" + inside + "}"
    if "const" in schema:
        return json.dumps(schema["const"])
    return str(schema.get("type", ""))


def _read(name: str) -> str:
    return (_PLACE / name).read_text(encoding="utf-8")
