"""What became of each of several things that a call names: one that fails does so alone."""

from collections.abc import Mapping
from typing import Annotated, Literal, NotRequired, TypedDict

from server.api.answers import refused
from server.api.bodies import note
from server.dialects.velt.errors import Status, message_of, status_of
from server.dialects.velt.fields import MESSAGE
from server.domain.errors import Refusal


class VeltResultView(TypedDict):
    """What became of one of several."""

    success: Annotated[bool, note("Whether it was done.")]
    id: Annotated[str, note("Which one.")]
    message: Annotated[str, note("What was done, or why it was not.")]
    status: NotRequired[Annotated[Status, note("Why it was not, for programs.")]]


class VeltResultsView(TypedDict):
    """What became of each."""

    status: Annotated[
        Literal["success"], note("That the call was carried out; each result says what came of it.")
    ]
    message: Annotated[str, MESSAGE]
    data: Annotated[dict[str, VeltResultView], note("What became of each, by their ids.")]


class VeltResultsAnswer(TypedDict):
    """The answer to a call that does something to several, to each for itself."""

    result: Annotated[VeltResultsView, note("What became of each.")]


def show_results(message: str, done: str, refusals: Mapping[str, Refusal | None]) -> VeltResultsView:
    """Show what became of each, by its id: why it was refused, or for None what was done."""
    data = {name: _result(name, refusal, done) for name, refusal in refusals.items()}
    return VeltResultsView(status="success", message=message, data=data)


def _result(name: str, refusal: Refusal | None, done: str) -> VeltResultView:
    if refusal is None:
        return VeltResultView(success=True, id=name, message=done)
    what = refused(refusal)
    return VeltResultView(success=False, id=name, message=message_of(what), status=status_of(what))
