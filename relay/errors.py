"""Refusals: RFC 9457 problem documents with the codes and statuses of PROTOCOL.md, section 4.

A refusal is raised as `Problem` and shown in one place. Its detail is written by us and names the rule and,
where there is one, the field; it never repeats what the caller sent, since that may be a token, a handle or
an envelope.
"""

from typing import Any

import msgspec

from relay.wire import ERROR_STATUS


class Problem(Exception):
    """A request that is refused as a whole. `retry_after` in seconds; 429 and 503 always carry one."""

    def __init__(
        self, code: str, detail: str, *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
        self.status = ERROR_STATUS[code]
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        if self.status not in {429, 503}:
            return {}
        return {"Retry-After": str(seconds_to_wait(self.retry_after or 1))}

    @property
    def body(self) -> bytes:
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "code": self.code,
            "detail": self.detail,
        }
        if self.field is not None:
            document["field"] = self.field
        return msgspec.json.encode(document)


def bad_request(field: str, rule: str) -> Problem:
    """A faulty field; `rule` says what would be right."""
    return Problem("bad_request", f"{field}: {rule}", field=field)


def seconds_to_wait(seconds: float) -> int:
    """Whole seconds, rounded up, since less would be too early, and at least one."""
    return max(1, -int(-seconds // 1))


def origin(error: BaseException) -> str:
    """An unexpected exception for the log: type and place, without its message, which may hold a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} in {code.co_qualname}, line {trace.tb_lineno}"
