"""`convert SRC DST`: the pickles of a released checkpoint as safetensors; with `--as-published` any
checkpoint in the layout of the release.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a checkpoint folder in the published layout, or a hub id")
    where = "folder for audio_detokenizer/ and vocoder/; the checkpoint's own is completed in place"
    parser.add_argument("destination", type=Path, help=where)
    published = "write the whole checkpoint as the release is laid out, into a new folder"
    parser.add_argument("--as-published", action="store_true", help=published)
    parser.add_argument("--revision", help="of a hub id; by default a pinned one")


def run(args: argparse.Namespace) -> int:
    """Converts what is not converted yet, and says what it does.

    Raises: CheckpointError if a file is missing, broken or refused, or there is no room.
    """
    from kimi_demo.checkpoint import conversion, locate  # torch: only when something is converted
    from kimi_demo.checkpoint.publishing import publish

    layout = locate.find(args.source, args.revision, report=_say)
    if args.as_published:
        publish(conversion.with_safetensors(layout, report=_say), args.destination, _say)
    else:
        conversion.convert(layout, args.destination, report=_say)
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
