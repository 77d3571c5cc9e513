"""Lists in pages: how long one is, and where it begins."""

from typing import Annotated

from server.api.bodies import Body, text, whole
from server.domain import rules

PAGE = 20
LONGEST_PAGE = 100


class PageQuery(Body, frozen=True, kw_only=True):
    """Which page of a list."""

    limit: Annotated[int, whole("How many at most.", least=1, most=LONGEST_PAGE)] = PAGE
    cursor: (
        Annotated[str, text("The `nextCursor` of the page before.", most=36, rule=rules.uuid, format="uuid")]
        | None
    ) = None

    @property
    def place(self) -> str | None:
        """The id that the page before ended with."""
        return None if self.cursor is None else self.cursor.lower()
