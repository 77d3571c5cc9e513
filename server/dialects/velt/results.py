"""What became of each of several things that a call names: one that fails does so alone."""

from collections.abc import Mapping
from typing import Annotated, Literal, NotRequired, TypedDict

from server.api.answers import refused
from server.api.bodies import note
from server.dialects.velt.errors import Status, message_of, status_of
from server.domain.errors import Refusal


class VeltResultView(TypedDict):
    """What became of one of several."""

    success: Annotated[bool, note("Whether it was done.")]
    id: Annotated[str, note("Which one.")]
    message: Annotated[str, note("What was done, or why it was not.")]
    status: NotRequired[Annotated[Status, note("Why it was not, for programs.")]]


class VeltResultsView(TypedDict):
    """What became of each notification."""

    status: Annotated[
        Literal["success"], note("That the call was carried out; each result says what came of it.")
    ]
    message: Annotated[str, note("What was done, for people.")]
    data: Annotated[dict[str, VeltResultView], note("By the ids of the notifications.")]


def show_results(refusals: Mapping[str, Refusal | None], done: str) -> dict[str, VeltResultView]:
    """Show what became of each, by its id: why it was refused, None where it was done."""
    return {name: _result(name, refusal, done) for name, refusal in refusals.items()}


def _result(name: str, refusal: Refusal | None, done: str) -> VeltResultView:
    if refusal is None:
        return VeltResultView(success=True, id=name, message=done)
    what = refused(refusal)
    return VeltResultView(success=False, id=name, message=message_of(what), status=status_of(what))
