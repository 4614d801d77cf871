"""The shape of a topic of conversation, before anything is drawn from it.

Texts are templates: `{slot}` is filled from one of a branch's fillings. The last mark of a wording
says which polite forms of the language it takes: `?` a question, `.` a request, no mark a noun
phrase to be asked for ("the capital of {country}"), `!` said just as it stands, `?!` a question
that cannot be asked indirectly. Polite forms are templates, too: `{}` takes the wording without its
mark.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Filling = Mapping[str, str]
Forms = Mapping[str, tuple[str, ...]]  # mark of a wording to polite forms


@dataclass(frozen=True)
class Branch:
    """Questions with one answer template.

    and_wordings ask after another filling of the branch ("and in {country}?"). then_wordings go on
    from the answer before: their filling's "first" is the "result" of the filling before. A branch
    without `wordings` is only reached that way; one without `recall` is not asked for again.
    variety: in how many polite wordings, at most, one filling is heard in training.
    is_open: its texts are too many to be listed.
    """

    wordings: tuple[str, ...]
    answer: str
    core: str
    recall: str = ""  # the answer to "what did i say?"; its core follows the comma, if there is one
    fillings: tuple[Filling, ...] = ({},)
    and_wordings: tuple[str, ...] = ()
    then_wordings: tuple[str, ...] = ()
    variety: int = 14
    is_open: bool = False


@dataclass(frozen=True)
class Topic:
    """Branches that follow-ups may cross. weight: share of the training dialogues.

    has_rivals: the cores exclude each other, so the last one said is the answer.
    """

    name: str
    weight: int
    branches: tuple[Branch, ...]
    has_rivals: bool = False


@dataclass(frozen=True)
class Talk:
    """All that one language talks about. The wordings of memory follow any topic."""

    language: str
    topics: tuple[Topic, ...]
    forms: Forms
    follow_forms: Forms
    recall_wordings: tuple[str, ...]  # "what did i say?"
    again_wordings: tuple[str, ...]  # "say it again."
