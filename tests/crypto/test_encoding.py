"""b64u is strict: one text for one byte string."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import b64u, b64u_length, unb64u
from crypto.errors import Malformed

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=100))
def test_any_bytes_come_back(data: bytes) -> None:
    text = b64u(data)
    assert text == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert unb64u(text) == data
    assert unb64u(text, len(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "AA==",  # padding
        "AB",  # stray bits in the last character
        "AAB",
        "A",  # no byte has this length
        "AAAAA",
        "+/+/",  # the other alphabet
        "AA AA",
        "AAAA\n",
        " AAAA",
        "AA=A",
        "AAAÄ",
        "AAA\N{FULLWIDTH LATIN CAPITAL LETTER A}",
        "AAAA\x00",
        "AA.A",
        "\ud800AAA",
    ],
)
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        unb64u(text)


@given(st.text(max_size=12) | st.text(ALPHABET, max_size=12))
def test_whatever_is_accepted_is_the_only_spelling(text: str) -> None:
    try:
        data = unb64u(text)
    except Malformed:
        assert b64u_length(text) is None
        return
    assert b64u(data) == text
    assert b64u_length(text) == len(data)


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_another_length_than_the_expected_one_is_refused(length: int) -> None:
    with pytest.raises(Malformed):
        unb64u(b64u(bytes(16)), length)
