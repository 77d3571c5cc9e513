"""What providers are told to do wrong, and to whom: scripts are read here, and tried newest first.

A script names a kind of `simulator.faults` and what that kind needs; anything else in it is a mistake, and is said.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from simulator.faults import (
    APNS_REASONS,
    AT_CONNECT,
    CERTIFICATES,
    FCM_CODES,
    HAS_CODE,
    HAS_FORM,
    MAY_REFUSE,
    OAUTH_ERRORS,
    OF_WEBPUSH,
    PROVIDERS,
    BadScript,
    Fault,
    Kind,
)
from simulator.http2_frames import WRONG
from simulator.webpush_errors import WEBPUSH_ERRORS

ON = ("push", "connect")
LARGEST_SETTING = 2**32 - 1


@dataclass
class Script:
    """A fault for one token or all, for the next `remaining` requests (or new connections, `on` says) or for good."""

    provider: str
    token: str | None
    on: str
    remaining: int | None
    fault: Fault


def read_fault(
    provider: str,
    *,
    kind: str = "answer",
    on: str = "push",
    reason: str = "",
    status: int | None = None,
    retry_after: int | str | None = None,
    since: int | None = None,
    delay: float = 0.0,
    size: int = 0,
    code: str = "",
    form: str = "",
    settings: Mapping[str, int] | None = None,
) -> Fault:
    _one_of("provider", provider, PROVIDERS)
    _one_of("kind", kind, tuple(Kind))
    made = Kind(kind)
    if provider == "webpush" and made not in OF_WEBPUSH:
        raise BadScript(f"kind: {kind!r} is not one of webpush's; use {_names(OF_WEBPUSH)}")
    if provider == "webpush" and on == "connect" and made != Kind.CERTIFICATE:
        raise BadScript("on: a connection of webpush's meets 'certificate' only")
    if made == Kind.ANSWER or (made in MAY_REFUSE and (reason or status is not None)):
        status = _status(provider, reason, status)
    wait = None if retry_after is None else str(retry_after)
    fault = Fault(made, reason, status or 0, wait, since, delay, size, code, form, dict(settings or {}))
    _check_connection(fault, on)
    _check_numbers(fault)
    _check_names(fault)
    return fault


def _one_of(field: str, value: str, known: Container[str]) -> None:
    if value not in known:
        names = ", ".join(known) if isinstance(known, tuple | dict | list) else ""
        raise BadScript(f"{field}: {value!r} is unknown; use one of {names}")


def _check_connection(fault: Fault, on: str) -> None:
    _one_of("on", on, ON)
    if on == "connect" and fault.kind not in AT_CONNECT:
        raise BadScript(f"on: {fault.kind!s} meets a push, not a connection; use {_names(AT_CONNECT)}")
    if on == "push" and fault.kind == Kind.CERTIFICATE:
        raise BadScript("on: a certificate meets a new connection; say 'connect'")
    if fault.kind == Kind.UNREACHABLE and fault.delay <= 0:
        raise BadScript("delay: say for how many seconds new connections are refused")


def _check_numbers(fault: Fault) -> None:
    if fault.delay < 0:
        raise BadScript("delay: 0 or more seconds")
    if fault.size < 0 or (fault.size and not fault.refuses):
        raise BadScript("size: the bytes of a refusal's body, so a reason or a status is needed with it")


def _check_names(fault: Fault) -> None:
    if fault.code and fault.kind not in HAS_CODE:
        raise BadScript(f"code: only of {_names(HAS_CODE)}")
    if fault.code:
        _one_of("code", fault.code, tuple(ErrorCodes.__members__))
    if fault.form and fault.kind not in HAS_FORM:
        raise BadScript(f"form: only of {_names(HAS_FORM)}")
    if fault.kind in HAS_FORM:
        _one_of("form", fault.form, CERTIFICATES if fault.kind == Kind.CERTIFICATE else tuple(WRONG))
    if (fault.kind == Kind.SETTINGS) != bool(fault.settings):
        raise BadScript("settings: of 'settings', which needs them: {\"MAX_CONCURRENT_STREAMS\": 1}")
    for name, value in fault.settings.items():
        _one_of("settings", name, tuple(SettingCodes.__members__))
        if type(value) is not int or not 0 <= value <= LARGEST_SETTING:
            raise BadScript(f"settings: {name} is a number of 0 to {LARGEST_SETTING}")


def _names(kinds: frozenset[Kind]) -> str:
    return ", ".join(sorted(kinds))


def _status(provider: str, reason: str, status: int | None) -> int:
    """Take the documented status of a documented reason; anything else needs one stated."""
    documented: dict[str, int] = {
        "apns": APNS_REASONS,
        "fcm": {code: http for code, (http, _) in FCM_CODES.items()},
        "google": OAUTH_ERRORS,
        "webpush": {reason: http for reason, (http, _) in WEBPUSH_ERRORS.items()},
    }[provider]
    found = status if status is not None else documented.get(reason)
    if found is None:
        raise BadScript(
            f"reason: {reason!r} is not one of {provider}'s; use a documented one or state a status"
        )
    return found


class Scripts:
    """The faults in force."""

    def __init__(self) -> None:
        self._scripts: list[Script] = []

    def add(self, script: Script) -> None:
        self._scripts.insert(0, script)

    def clear(self) -> None:
        self._scripts.clear()

    def take(self, provider: str, token: str | None) -> Fault | None:
        """Give the fault that meets this request, and count it."""
        for script in self._scripts:
            if script.on == "push" and script.provider == provider and script.token in {None, token}:
                return self._count(script)
        return None

    def take_connection(self, provider: str, *, handshake: bool) -> Fault | None:
        """Give the fault that meets a new connection, in its TLS handshake or after it, and count it."""
        for script in self._scripts:
            certificate = script.fault.kind == Kind.CERTIFICATE
            if script.on == "connect" and script.provider == provider and certificate == handshake:
                return self._count(script)
        return None

    def _count(self, script: Script) -> Fault:
        if script.remaining is not None:
            script.remaining -= 1
            if script.remaining <= 0:
                self._scripts.remove(script)
        return script.fault
