"""What a relay may answer to a push that must settle nothing: each says that handles are gone, and none may be believed."""

import json
from collections.abc import Callable, Sequence

from tests.harness.foreign_relay import Answer, Arrival
from tests.harness.foreign_server import altered

Bad = Callable[[Arrival], Answer]


def _unsigned(arrival: Arrival, status: int = 200, **headers: str) -> Answer:
    return Answer(status, arrival.outcomes("gone"), {"Content-Type": "application/json"} | headers)


def _with_altered_signature(arrival: Arrival) -> Answer:
    answer = arrival.signed(arrival.outcomes("gone"))
    wrong = {"Signature": altered(answer.headers["Signature"])}
    return Answer(200, answer.body, answer.headers | wrong)


def _with_altered_body(arrival: Arrival) -> Answer:
    answer = arrival.signed(arrival.outcomes())
    return Answer(200, arrival.outcomes("gone"), answer.headers)


def _for_another_request(arrival: Arrival) -> Answer:
    headers = arrival.message.headers
    other = type(arrival.message)(
        headers | {"Signature": altered(headers["Signature"])}, "POST", arrival.message.target_uri
    )
    return arrival.signed(arrival.outcomes("gone"), request=other)


def _outcomes(arrival: Arrival, ids: Sequence[str]) -> Answer:
    outcomes = [{"id": id_, "status": "gone", "reason": "unregistered"} for id_ in ids]
    return arrival.signed(json.dumps({"outcomes": outcomes}).encode())


def ids(arrival: Arrival) -> list[str]:
    return [push["id"] for push in arrival.pushes]


def _unknown_status(arrival: Arrival) -> Answer:
    return arrival.signed(arrival.outcomes("eaten"))


BAD: dict[str, Bad] = {
    "unsigned": _unsigned,
    "altered signature": _with_altered_signature,
    "altered body": _with_altered_body,
    "another key": lambda a: a.signed(a.outcomes("gone"), seed=bytes(32)),
    "another request": _for_another_request,
    "long ago": lambda a: a.signed(a.outcomes("gone"), age=200),
    "signed, but accepted only": lambda a: a.signed(a.outcomes("gone"), status=202),
    "signed error": lambda a: a.signed(a.outcomes("gone"), status=500),
    "unsigned refusal": lambda _: Answer(403, b'{"code":"key_denied"}', {}),
    "redirect": lambda a: _unsigned(a, 307, Location="/v1/push"),
    "out of order": lambda a: _outcomes(a, ids(a)[::-1]),
    "one too few": lambda a: _outcomes(a, ids(a)[:-1]),
    "one too many": lambda a: _outcomes(a, [*ids(a), ids(a)[0]]),
    "unknown status": _unknown_status,
    "garbage": lambda a: a.signed(b"\x00garbage"),
    "no list": lambda a: a.signed(b'{"outcomes":{}}'),
    "empty": lambda a: a.signed(b""),
    "not HTTP any more": lambda _: Answer(200, None, {}),
}
