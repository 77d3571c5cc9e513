"""From where a request came, where proxies say it: only what trusted ones wrote, in the header that was chosen."""

from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from server.api.address import Proxies, client_address

TRUSTED = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
DIRECT = "127.0.0.1"
CLIENT = "203.0.113.9"


class _Transport:
    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": (DIRECT, 5)}.get(name, default)


def address(header: str, *lines: str, sent_as: str | None = None, trusted: Sequence[object] = TRUSTED) -> str:
    """Return the address of a request that came from this machine with these lines of a header."""
    headers = CIMultiDict([(sent_as or header, line) for line in lines])
    request = make_mocked_request("GET", "/", headers=headers, transport=_Transport())
    return client_address(request, Proxies(trusted, header))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([CLIENT], CLIENT),
        ([f"198.51.100.7, {CLIENT}"], CLIENT),
        ([f"198.51.100.7, {CLIENT}, 10.1.2.3"], CLIENT),
        (["198.51.100.7", f"{CLIENT}, 10.1.2.3"], CLIENT),
        ([f"{CLIENT}:51234"], CLIENT),
        (["2001:db8:1:2::3"], "2001:db8:1:2::/64"),
        (["[2001:db8:1:2::3]:443"], "2001:db8:1:2::/64"),
        (["::ffff:203.0.113.9"], CLIENT),
        ([f"{CLIENT}, "], DIRECT),
        (["nonsense"], "unknown"),
        ([], DIRECT),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(lines: list[str], expected: str) -> None:
    assert address("X-Forwarded-For", *lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f"For={CLIENT};proto=https;by=10.0.0.1"], CLIENT),
        ([f'for="{CLIENT}:51234"'], CLIENT),
        (['for="[2001:db8:1:2::3]:4711"'], "2001:db8:1:2::/64"),
        ([f"for=198.51.100.7, for={CLIENT}"], CLIENT),
        (["for=198.51.100.7", f"for={CLIENT}, for=10.1.2.3"], CLIENT),
        (["proto=https"], "unknown"),
        (["for=unknown"], "unknown"),
        (["for=_hidden"], "unknown"),
        ([""], DIRECT),
        ([], DIRECT),
    ],
)
def test_forwarded_is_read_from_the_right(lines: list[str], expected: str) -> None:
    assert address("Forwarded", *lines) == expected


@pytest.mark.parametrize(
    "begun",
    ['for="', 'for=9.9.9.9;x="', "for=9.9.9.9;", 'for="\\', "nonsense", "for==", "for=[2001:db8::1]"],
)
@pytest.mark.parametrize("written", [f"for={CLIENT}", 'for="[2001:db8:1:2::3]"'])
def test_a_client_that_begins_what_the_proxy_ends_hides_nothing(begun: str, written: str) -> None:
    """A header that is not of its form tells of nobody: the request counts as the proxy's own, or as what the proxy wrote."""
    for lines in ([f"{begun}, {written}"], [begun, written]):
        assert address("Forwarded", *lines) in {DIRECT, CLIENT, "2001:db8:1:2::/64"}


def test_the_header_that_was_not_chosen_is_anybodys_word() -> None:
    """Proxies let it through as it came."""
    assert address("X-Forwarded-For", f"for={CLIENT}", sent_as="Forwarded") == DIRECT
    assert address("Forwarded", CLIENT, sent_as="X-Forwarded-For") == DIRECT


def test_who_is_not_trusted_is_asked_for_nobody() -> None:
    assert address("X-Forwarded-For", CLIENT, trusted=()) == DIRECT
