"""What RPCs have in common: names of users and topics, and pages."""

from typing import Annotated, NotRequired, TypedDict

from server.api.bodies import Body, note, text, whole
from server.api.pages import LONGEST_PAGE, PAGE
from server.domain.account import LONGEST_NAME
from server.domain.pages import MOST_COUNTED

FURTHEST_PAGE = 1_000_000

UserName = Annotated[
    str, text("The user, by the name that your servers know.", most=LONGEST_NAME, examples=["user-1"])
]
TopicKey = Annotated[str, text("The topic's key.", most=LONGEST_NAME, examples=["weekly-updates"])]


class Nothing(Body, frozen=True, kw_only=True):
    """Nothing is asked for but what the name of the RPC says."""


class PageBody(Body, frozen=True, kw_only=True):
    """Which page of a list."""

    page: Annotated[int, whole("Which page, from 1.", least=1, most=FURTHEST_PAGE)] = 1
    page_size: Annotated[int, whole("How many on a page.", least=1, most=LONGEST_PAGE)] = PAGE

    @property
    def offset(self) -> int:
        """How many come before the page."""
        return (self.page - 1) * self.page_size


class PageView(TypedDict):
    """Which page of a list this is."""

    hasMore: Annotated[bool, note("Whether there is a page after this one.")]
    page: Annotated[int, note("Which page this is, from 1.")]
    pageSize: Annotated[int, note("How many there are on a page.")]
    total: Annotated[int, note(f"How many there are on all pages, counted up to {MOST_COUNTED}.")]
    totalIsLowerBound: NotRequired[Annotated[bool, note("Whether there are more than `total`.")]]


def show_page(body: PageBody, total: int, *, more: bool) -> PageView:
    """Return what stands beside a page's rows; a `total` above MOST_COUNTED only says that there are more."""
    shown = PageView(hasMore=more, page=body.page, pageSize=body.page_size, total=min(total, MOST_COUNTED))
    if total > MOST_COUNTED:
        shown["totalIsLowerBound"] = True
    return shown
