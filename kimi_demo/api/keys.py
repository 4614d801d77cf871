"""Who may call: keys with names, so that usage can be told apart without telling a key."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from kimi_demo.errors import AccessError, InputError

ANYBODY = "anonymous"  # who calls where no key is needed
MAX_KEY_CHARS = 512
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Keys:
    """Name to key; without any, everybody may call."""

    by_name: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Keys:
        """ "alice=secret1,bob=secret2", also one a line; a key without a name is called key1 ...

        Raises: InputError for a name or a key that cannot be used.
        """
        found: dict[str, str] = {}
        for entry in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
            name, separator, key = entry.partition("=")
            if not separator:
                name, key = f"key{len(found) + 1}", entry
            _check(name, key, found)
            found[name] = key
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self.by_name)

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.by_name)})"

    def name_of(self, key: str | None) -> str:
        """Whose key this is. Every key is compared, in constant time.

        Raises: AccessError if it is nobody's.
        """
        if not self:
            return ANYBODY
        if not key:
            raise AccessError("an API key is needed: send the header Authorization: Bearer KEY")
        given = key[:MAX_KEY_CHARS].encode()
        names = [
            name
            for name, known in self.by_name.items()
            if secrets.compare_digest(given, known.encode())
        ]
        if not names:
            raise AccessError("this API key is not known here: check it")
        return names[0]

    def admits(self, name: str, key: str) -> bool:
        known = self.by_name.get(name, "")
        given = key[:MAX_KEY_CHARS].encode()
        return secrets.compare_digest(given, known.encode()) and bool(known)


NO_KEYS = Keys({})


def _check(name: str, key: str, found: Mapping[str, str]) -> None:
    """The message never holds the key."""
    if not _NAME.fullmatch(name) or name in found:
        raise InputError(f"API key names are unique and made of letters and digits, not {name!r}")
    if not 8 <= len(key) < MAX_KEY_CHARS or not key.isascii() or key.split() != [key]:
        raise InputError(f"the API key of {name} must have at least 8 plain characters")
