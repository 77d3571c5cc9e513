"""Keys from the server's one secret."""

from server.commands.derive import SESSIONS, derive, first_account_code


def test_each_purpose_has_a_key_of_its_own() -> None:
    """The same one each time, and another for another secret."""
    secret = bytes(32)
    assert derive(secret, SESSIONS) == derive(secret, SESSIONS)
    assert (
        len({derive(secret, SESSIONS), derive(secret, "other"), derive(b"\x01" * 32, SESSIONS), secret}) == 4
    )


def test_the_first_accounts_code_can_be_read_aloud() -> None:
    """Four groups of five; the same after a restart."""
    code = first_account_code(bytes(32))
    assert [len(group) for group in code.split("-")] == [5] * 4
    assert code == first_account_code(bytes(32)) != first_account_code(b"\x01" * 32)
