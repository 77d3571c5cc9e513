"""What a handler says of itself, beside it: the one source of the API's reference (`server/api/openapi.py`).

@describes("Create a bucket", takes=BucketBody, gives=BucketView, status=201, errors=("bucket_exists",))
async def create(self, request: web.Request, caller: Caller) -> web.Response: ...
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from server.api.answers import JSON, PROBLEM, Problem
from server.api.bodies import Body

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Tag:
    """Under what an operation stands in the reference."""

    name: str
    said: str


@dataclass(frozen=True)
class Description:
    """`errors` are codes beside those that every route may answer with; `media` what `takes` may be sent as.

    `form` is what takes its place in a form, None for the same, and `parts` in one with files, None for what `form` says.
    `gives` is the type of the answer's body, None where there is none, `produces` its media type. `headers` says of each header
    that is read beside the usual ones what it is for.
    """

    summary: str
    detail: str
    takes: type[Body] | None
    media: Sequence[str]
    form: type[Body] | None
    parts: type[Body] | None
    query: type[Body] | None
    gives: Any
    produces: str
    status: int
    errors: Sequence[str]
    headers: Mapping[str, str]
    tag: Tag | None = None  # None: that of its path
    refuses: Any = Problem  # the type of what is answered where it is refused, and its media type
    refuses_as: str = PROBLEM
    listed: bool = True  # False: the reference has it at another path


def describes(
    summary: str,
    *,
    detail: str = "",
    takes: type[Body] | None = None,
    media: Sequence[str] = (JSON,),
    form: type[Body] | None = None,
    parts: type[Body] | None = None,
    query: type[Body] | None = None,
    gives: Any = None,
    produces: str = JSON,
    status: int = 200,
    errors: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Attach a description to a handler."""

    def attach(handler: F) -> F:
        handler.description = Description(  # type: ignore[attr-defined] # functions have attributes
            summary, detail, takes, media, form, parts, query, gives, produces, status, errors, headers or {}
        )
        return handler

    return attach


def description_of(handler: Callable[..., Any]) -> Description | None:
    """Return what a handler says of itself."""
    found: Description | None = getattr(handler, "description", None)
    return found
