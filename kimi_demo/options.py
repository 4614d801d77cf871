"""Which checkpoint computes, where and in which precision, or which server is asked instead."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kimi_demo.errors import InputError

DTYPES = ("auto", "bfloat16", "float16", "float32")
QUANTIZATIONS = ("none", "int8", "int4")
OFFLOADS = ("none", "cpu", "disk")
_UNITS = {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "MB": 10**6}
_AMOUNT = re.compile(rf"(cpu|\d+)=(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})")


@dataclass(frozen=True)
class ModelOptions:
    model: str = "nano"
    """`nano`, a folder in the published layout, or a hub id such as owner/name."""
    revision: str | None = None
    """Commit, tag or branch of the hub id; None takes the one that this code was made for."""
    device: str = "auto"
    """A torch device, or "auto": all GPUs if there are any, else the CPU."""
    device_map: str = "auto"
    """"auto" plans; a JSON file maps module names of the language model to devices by hand."""
    max_memory: str = ""
    """What may be filled, such as "0=22GiB,1=22GiB,cpu=60GiB"; empty: what is free."""
    dtype: str = "auto"
    """"auto": bfloat16 on a GPU, float32 on the CPU."""
    quantize: str = "none"
    """Weights of the language model in "int8" or "int4"."""
    threads: int = 0
    """Of the CPU, for each of the two that compute at once, language model and detokenizer; 0: half
    the cores."""
    slots: int = 4
    """Answers that are made at once; each takes memory for its keys and values."""
    offload: str = "none"
    """Where what fits on no GPU may wait: "cpu" (its memory), "disk", or nowhere."""

    def memory(self) -> dict[int | str, int]:
        """`max_memory` in bytes. Raises: InputError if it cannot be read."""
        return memory_of(self.max_memory)


@dataclass(frozen=True)
class RemoteOptions:
    base_url: str
    """Such as http://localhost:7860/v1."""
    api_key: str = field(default="", repr=False)
    """Sent as bearer token; empty sends none."""
    model: str = ""
    """Of every request; empty takes the server's own, or the hosted service's usual ones."""
    speech_model: str = ""
    """For text to speech, where that is another one."""
    transcription_model: str = ""
    """For speech to text, where that is another one."""
    voice: str = "alloy"
    """Of speech and answers."""


def memory_of(text: str) -> dict[int | str, int]:
    """ "0=22GiB,cpu=60GiB" -> bytes of GPU 0 and of "cpu".

    Raises: InputError for anything else.
    """
    found: dict[int | str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _AMOUNT.fullmatch(part)
        if not match:
            raise InputError(f"{part!r} is no amount of memory: write 0=22GiB,1=22GiB,cpu=60GiB")
        device, amount, unit = match.groups()
        found[device if device == "cpu" else int(device)] = round(float(amount) * _UNITS[unit])
    return found
