"""Documented examples as files: a request as it is printed, and the answer that is printed for it.

Names in angle brackets stand for ids and tokens: one that an answer shows is put into the requests after it, and is the same wherever
it is shown again. Times are any times of the printed form. An answer is an excerpt: what it does not print is not looked at.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.native import Native

GOLDEN = Path(__file__).parent.parent / "golden"

Call = Callable[[Mapping[str, Any]], Awaitable[tuple[int, Any]]]
"""Sends a request's method, path, body, token and headers, and gives status and decoded answer."""

_HOLE = re.compile(r"<[a-z-]+>")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_ANY = re.compile(f"{_HOLE.pattern}|{_TIME.pattern}")


@dataclass(frozen=True)
class Example:
    """`origin` is what a document calls it."""

    name: str
    origin: str
    request: Mapping[str, Any]
    status: int
    answer: Any


def examples(folder: str) -> Iterator[Example]:
    """Give a document's examples in their order."""
    for path in sorted((GOLDEN / folder).glob("*.json")):
        values = json.loads(path.read_text())
        yield Example(path.stem, values["from"], values["request"], values["status"], values["answer"])


def over(api: Native) -> Call:
    """Return what sends requests to a server, each with the token and the headers that it names."""

    async def call(request: Mapping[str, Any]) -> tuple[int, Any]:
        answer = await api.with_token(request.get("token")).call(
            request["method"], request["path"], request.get("body"), headers=request.get("headers", {})
        )
        return answer.status, answer.json

    return call


@dataclass
class Play:
    """One run of examples against one server; `known` is what their holes stand for."""

    call: Call
    known: dict[str, str] = field(default_factory=dict)

    async def run(self, example: Example) -> Any:
        """Send an example's request and hold the answer, which is returned, to the printed one."""
        status, answer = await self.call(self._filled(example.request))
        assert status == example.status, f"{example.name}: {status} {answer}"
        self._compare(example.name, example.answer, answer)
        return answer

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        return _HOLE.sub(lambda hole: self.known[hole[0]], value) if isinstance(value, str) else value

    def _compare(self, where: str, printed: Any, found: Any) -> None:
        if isinstance(printed, dict):
            assert isinstance(found, dict), where
            for name, value in self._named(printed):
                assert name in found, f"{where}.{name} is missing"
                self._compare(f"{where}.{name}", value, found[name])
        elif isinstance(printed, list) and _ANY.search(json.dumps(printed)):
            assert len(found) == len(printed), where
            for index, (one, other) in enumerate(zip(printed, found, strict=True)):
                self._compare(f"{where}[{index}]", one, other)
        elif isinstance(printed, str) and _HOLE.search(printed):
            self._learn(where, printed, found)
        elif isinstance(printed, str) and _TIME.fullmatch(printed):
            assert _TIME.fullmatch(found), f"{where}: {found} is not a time like {printed}"
        else:
            assert found == printed, where

    def _named(self, printed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((str(self._filled(name)), value) for name, value in printed.items())

    def _learn(self, where: str, printed: str, found: Any) -> None:
        hole = _HOLE.findall(printed)[0]
        around = [re.escape(text) for text in printed.split(hole)]
        match = re.fullmatch("(.+)".join(around), found)
        assert match is not None, f"{where}: {found!r} is not like {printed}"
        assert self.known.setdefault(hole, match[1]) == match[1], f"{where}: another {hole} than before"
