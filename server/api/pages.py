"""Lists in pages: how long one is, and where it begins."""

import re
from typing import Annotated

from server.api.bodies import Body, text, whole
from server.api.reading import Fields
from server.domain import rules

PAGE = 20
LONGEST_PAGE = 100
LONGEST_PLACE = 60
_PLACE = re.compile(r"(\d{1,15})\.([0-9a-f-]{36})", re.ASCII)


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


def read_place(fields: Fields, name: str) -> tuple[int, str] | None:
    """Read the cursor of a list that goes by times: `<milliseconds>.<id>`; None where there is none."""
    given = fields.optional(name, most=LONGEST_PLACE)
    found = None if given is None else _PLACE.fullmatch(given)
    if given is not None and found is None:
        fields.fault(name, "is no cursor", "give the nextCursor of the page before as it is")
    return None if found is None else (int(found[1]), found[2])
