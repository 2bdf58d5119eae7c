# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""The first page and the description of the API: plain HTML without scripts, so the strictest content policy fits."""
from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from . import __version__

router = APIRouter(include_in_schema=False)
_POLICY = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(f"<!doctype html>\n"
                        f"<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{escape(title)}</title>"
                        f"<meta name=\"viewport\" content=\"width=device-width\"></head><body>\n{body}\n"
                        f"</body></html>\n", headers=_POLICY)


@router.get("/")
def home() -> HTMLResponse:
    """What this is and where its description is."""
    return _page("Documents",
                 f"<h1>Documents</h1>\n<p>Contacts and documents with full-text search, version {__version__}. "
                              "The <a href=\"/docs\">API</a> asks for a key; its <a href=\"/openapi.json\">OpenAPI "
                 "document</a> does not.</p>")


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The API for readers."""
    schema = request.app.openapi()
    parts = [f"<h1>{escape(schema['info']['title'])} {escape(schema['info']['version'])}</h1>",
             "<p>Send one of the keys of this service in the header <code>X-API-Key</code>. "
             "For programs: <a href=\"/openapi.json\">OpenAPI document</a>.</p>"]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method, operation))
    return _page(schema["info"]["title"], "\n".join(parts))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    lines = [f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>",
             f"<p>{escape(operation.get('description', ''))}</p>"]
    if given := operation.get("parameters"):
        rows = (f"<li><code>{escape(each['name'])}</code> "
                f"({escape(each['in'])}{', required' if each.get('required') else ''}) "
                f"{escape(each.get('description', ''))}</li>" for each in given)
        lines.append(f"<ul>{''.join(rows)}</ul>")
    if body := operation.get("requestBody"):
        lines.append(f"<p>Body: {', '.join(f'<code>{escape(kind)}</code>' for kind in body['content'])}</p>")
    answers = (f"<li><code>{escape(code)}</code> {escape(each['description'])}</li>"
               for code, each in operation["responses"].items())
    return "\n".join([*lines, f"<ul>{''.join(answers)}</ul>"])
