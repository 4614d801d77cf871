"""What all requests have in common."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ConfigDict, model_validator


class Strict(BaseModel):
    """Refuses by name what it does not know. Many clients send all that they know themselves, with
    null, [] or {} for what is not wanted: that is as if it was not sent.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        sent = cast(dict[str, Any], values)
        return {name: value for name, value in sent.items() if not cls._is_blank(name, value)}

    @classmethod
    def _is_blank(cls, name: str, value: Any) -> bool:
        field = cls.model_fields.get(name)
        if field is None:
            return value is None or value in ([], {})
        return value is None and not field.is_required()
