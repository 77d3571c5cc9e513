"""What the client commands tell before they call."""

import pytest

from server.cli.client import sent_in_the_clear


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://push.example.org", True),
        ("http://192.168.1.5:8080", True),
        ("https://push.example.org", False),
        ("http://127.0.0.1:8080", False),
        ("http://localhost:8080", False),
        ("http://[::1]:8080", False),
        ("http://[", False),
    ],
)
def test_a_person_is_told_when_a_password_would_leave_the_machine_unencrypted(url: str, told: bool) -> None:  # noqa: FBT001 - a table
    assert sent_in_the_clear(url) is told
