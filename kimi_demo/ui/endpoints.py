"""The page's public endpoints, and how programs call them: read off the page, so never outdated."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass

import gradio as gr

# Stands for the address under which the visitor sees the page; the browser knows it.
ADDRESS = "http://localhost:7860/"
SOUND_FILE = "sound.wav"
# What a snippet gives for the parameters that have no default.
_SAMPLES = {
    "text": "Hello there.",
    "question": "How many beeps are there?",
    "task": "emotion",
}


@dataclass(frozen=True)
class Endpoint:
    """name: with its slash. summary: first paragraph of the docstring. parameters: (name, text).

    takes: the parameters that every call must give.
    """

    name: str
    summary: str
    parameters: tuple[tuple[str, str], ...]
    takes: tuple[str, ...]


def endpoints(page: gr.Blocks) -> list[Endpoint]:
    """Those of the page as far as it is built, in the order of its tabs."""
    public = (fn for fn in page.fns.values() if fn.fn and fn.api_visibility == "public")
    return [_endpoint(fn.fn, str(fn.api_name)) for fn in public]


def python_snippet(endpoint: Endpoint) -> str:
    given = [f"{name}={_python(name)}" for name in endpoint.takes]
    imported = "Client, handle_file" if "audio" in endpoint.takes else "Client"
    arguments = ", ".join([*given, f'api_name="{endpoint.name}"'])
    return (
        f"from gradio_client import {imported}\n\n"
        f'client = Client("{ADDRESS}")\n'
        f"result = client.predict({arguments})\n"
        "print(result)"
    )


def curl_snippet(endpoint: Endpoint) -> str:
    """Shell lines that call the endpoint: send the sound if there is one, ask, await the answer."""
    call = f"{ADDRESS}gradio_api/call/v2{endpoint.name}"
    body = json.dumps({name: _SAMPLES[name] for name in endpoint.takes if name in _SAMPLES})
    lines = []
    if "audio" in endpoint.takes:
        upload = f"{ADDRESS}gradio_api/upload"
        lines = [f"FILE=$(curl -s -F files=@{SOUND_FILE} {upload} | tr -d '[]\"')"]
        sound = """"audio": {"path": "'"$FILE"'", "meta": {"_type": "gradio.FileData"}}"""
        body = "{" + ", ".join(part for part in (sound, body[1:-1]) if part) + "}"
    return "\n".join(
        [
            *lines,
            f"EVENT=$(curl -s {call} -H 'Content-Type: application/json' \\\n"
            f"  -d '{body}' | cut -d '\"' -f 4)",
            f"curl -s -N {call}/$EVENT",
        ]
    )


def _python(name: str) -> str:
    return f'handle_file("{SOUND_FILE}")' if name == "audio" else json.dumps(_SAMPLES[name])


def _endpoint(function: object, name: str) -> Endpoint:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    documented = inspect.getdoc(function) or ""
    takes = tuple(
        key
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty and (key == "audio" or key in _SAMPLES)
    )
    about = tuple((key, text) for key, text in _arguments(documented) if key in parameters)
    return Endpoint(f"/{name}", documented.split("\n\n")[0].replace("\n", " "), about, takes)


def _arguments(docstring: str) -> list[tuple[str, str]]:
    """The (name, text) pairs of the section `Args:`."""
    _, _, section = docstring.partition("Args:\n")
    body = re.split(r"\n\S", section, maxsplit=1)[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {6,}.*)*)", body, re.MULTILINE)
    return [(name, " ".join(text.split())) for name, text in found]
