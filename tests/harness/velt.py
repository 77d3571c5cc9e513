"""A client of Velt's API: two tokens in headers, `data` in, `result` or `error` out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.harness.native import Native, Reply


@dataclass(frozen=True)
class Velt:
    """`key` and `token` are what the two headers hold; None leaves one out."""

    api: Native
    key: str | None
    token: str | None

    @classmethod
    def of(cls, api: Native) -> "Velt":
        """Return a client whose two headers hold the token of another client, as the servers of most apps call."""
        return cls(api, api.token, api.token)

    def with_token(self, token: str | None) -> "Velt":
        return replace(self, token=token)

    async def call(self, path: str, data: object, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Call what stands below /v2/, like `notifications/add`."""
        return await self.post(path, {"data": data}, headers=headers)

    async def post(self, path: str, body: object, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Call with a body that may be of another form."""
        keys = {"x-velt-api-key": self.key, "x-velt-auth-token": self.token}
        sent = {name: value for name, value in keys.items() if value is not None}
        api = self.api.with_token(None)
        return await api.call("POST", f"/v2/{path}", body, headers={**sent, **(headers or {})})

    async def said(self, path: str, data: object) -> Any:
        """Return what was answered to something that is not refused."""
        answer = await self.call(path, data)
        assert answer.status == 200, answer.body
        result = answer["result"]
        assert result["status"] == "success"
        return result["data"]


def refusal(answer: Reply) -> tuple[int, str, str]:
    """Return why a call was refused: the HTTP status, the API's and the message."""
    assert answer.json.keys() == {"error"}, answer.body
    error = answer["error"]
    assert error.keys() == {"message", "status"}
    return answer.status, error["status"], error["message"]
