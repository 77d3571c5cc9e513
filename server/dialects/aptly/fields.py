"""What requests have in common: names of tenants and users, states, times, pages."""

from enum import StrEnum
from typing import Annotated, NotRequired, Protocol, TypedDict

from server.api.bodies import Body, note, text, whole
from server.api.pages import LONGEST_PAGE
from server.domain.account import LONGEST_NAME
from server.domain.pages import MOST_COUNTED
from server.domain.rules import Wrong, is_id

FURTHEST_PAGE = 1_000_000


def uuid(given: str) -> Wrong | None:
    """Check a name that is a UUID, whoever has made it."""
    return None if is_id(given) else ("is not a UUID", "send one like 550e8400-e29b-41d4-a716-446655440000")


_EXAMPLE = "550e8400-e29b-41d4-a716-446655440000"
TenantId = Annotated[
    str, text("The tenant.", most=36, least=36, rule=uuid, format="uuid", examples=[_EXAMPLE])
]
UserId = Annotated[
    str, text("Who receives it.", most=36, least=36, rule=uuid, format="uuid", examples=[_EXAMPLE])
]
TemplateKey = Annotated[
    str, text("The template, by its key.", most=LONGEST_NAME, examples=["DELEGATION_ISSUED"])
]
Category = Annotated[
    str,
    text("What its notifications are sorted under: a word of your own.", most=100, examples=["Delegations"]),
]
EntityType = Annotated[
    str, text("What kind of thing it is about.", most=LONGEST_NAME, examples=["delegation"])
]


class AptlyStatus(StrEnum):
    """Whether a notification was read."""

    READ = "READ"
    UNREAD = "UNREAD"


class TimePeriod(StrEnum):
    """How far back: so many calendar months from now, in UTC, or however far."""

    ONE_MONTH = "1m"
    THREE_MONTHS = "3m"
    SIX_MONTHS = "6m"
    ALL = "all"

    @property
    def months(self) -> int | None:
        """Return how many months that are, None for all."""
        return None if self is TimePeriod.ALL else int(self.value.removesuffix("m"))


class TenantQuery(Body, frozen=True, kw_only=True):
    """Of which tenant."""

    tenant_id: (
        Annotated[
            str,
            text("The tenant: as `X-Tenant-ID`, with which it has to agree.", most=LONGEST_NAME),
        ]
        | None
    ) = None


Page = Annotated[int, whole("Which page, from 1.", least=1, most=FURTHEST_PAGE)]
Limit = Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)]


class PagedView(TypedDict):
    """Which page of a list this is."""

    page: Annotated[int, note("Which page this is, from 1.")]
    limit: Annotated[int, note("How many there are on a page.")]
    total: Annotated[int, note(f"How many there are on all pages, counted up to {MOST_COUNTED}.")]
    totalIsLowerBound: NotRequired[Annotated[bool, note("Whether there are more than `total`.")]]


class Paged(Protocol):
    """What asks for a page of a list."""

    @property
    def page(self) -> int: ...
    @property
    def limit(self) -> int: ...


def offset_of(query: Paged) -> int:
    """Return how many come before a page."""
    return (query.page - 1) * query.limit


def show_page(query: Paged, total: int) -> PagedView:
    """Return what stands beside a page's rows; a `total` above MOST_COUNTED only says that there are more."""
    shown = PagedView(page=query.page, limit=query.limit, total=min(total, MOST_COUNTED))
    if total > MOST_COUNTED:
        shown["totalIsLowerBound"] = True
    return shown
