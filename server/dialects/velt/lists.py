"""What calls have in common that list something in pages, or do something to several users at once."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypedDict

from server.api.bodies import note, text, whole
from server.api.pages import LONGEST_PAGE
from server.dialects.velt.results import VeltResultView, show_results
from server.domain.errors import Refusal

MOST_AT_ONCE = 100
LONGEST_TOKEN = 255
TOKEN = note("`pageToken` of the next page; null: this is the last one.")
SUCCESS = note("That it is so.")
MESSAGE = note("What was done, for people.")
PageSize = Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)]
PageToken = Annotated[str, text("The `pageToken` of the page before.", most=LONGEST_TOKEN)]


class UserResultsView(TypedDict):
    """What came of it for each user."""

    status: Annotated[Literal["success"], SUCCESS]
    message: Annotated[str, MESSAGE]
    data: Annotated[dict[str, VeltResultView], note("What came of it for each user, by their ids.")]


class UserResultsAnswer(TypedDict):
    """The answer to a call that does something to several users, each for itself."""

    result: Annotated[UserResultsView, note("What came of it.")]


def show_users(message: str, each: str, refusals: Mapping[str, Refusal | None]) -> UserResultsAnswer:
    """Say what came of it for each user; `each` is what was done to one who is not refused."""
    return UserResultsAnswer(
        result=UserResultsView(status="success", message=message, data=show_results(refusals, each))
    )
