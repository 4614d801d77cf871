"""The examples in README.md and docs/: fenced blocks, each behind a marker that says who runs it.

<!-- ci: test -->      .ci/run, in a fresh environment
<!-- ci: start -->     a reader: it installs and serves until it is interrupted
<!-- test: api -->     against a server with nano
<!-- test: live -->    the same, in a live conversation
<!-- test: browser --> in a browser, against a server with nano
<!-- test: run -->     as it stands
<!-- test: parse -->   only parsed: it needs a GPU, a download, another server or a browser
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"(?:<!-- (\w+: \w+) -->\n)?```(sh|python|html)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block. marker: "" if it has none."""

    document: str
    marker: str
    language: str
    text: str

    def lines(self) -> list[str]:
        """Each command, without comments."""
        joined = self.text.replace("\\\n", " ")
        return [code for line in joined.splitlines() if (code := line.partition("   #")[0].strip())]


def examples(marker: str | None = None) -> list[Example]:
    """All of that marker; all there are for None."""
    found = [
        Example(path.name, *block)
        for path in DOCUMENTS
        for block in _BLOCK.findall(path.read_text(encoding="utf-8"))
    ]
    return [example for example in found if marker in (None, example.marker)]
