"""Secrets that are stored open only with the key, and only where they were put."""

from dataclasses import replace

import pytest

from server.commands.vault import NotOpened, Vault, vault_of
from server.domain.ports import Random

SECRET = b"what a tenant's server verifies with"


@pytest.fixture
def vault(random: Random) -> Vault:
    return vault_of(bytes(range(32)), "resolvers", random)


def test_what_was_sealed_opens_where_it_was_put(vault: Vault) -> None:
    sealed = vault.seal(SECRET, "row")
    assert vault.open(sealed, "row") == SECRET
    assert SECRET not in sealed


def test_the_same_secret_never_looks_the_same(vault: Vault) -> None:
    assert vault.seal(SECRET, "row") != vault.seal(SECRET, "row")


def test_it_opens_in_no_other_row_and_for_no_other_purpose(vault: Vault) -> None:
    sealed = vault.seal(SECRET, "row")
    for other, row in ((vault, "other row"), (replace(vault, purpose="providers"), "row")):
        with pytest.raises(NotOpened, match="set it anew"):
            other.open(sealed, row)


def test_it_does_not_open_under_another_secret_of_the_server(vault: Vault, random: Random) -> None:
    with pytest.raises(NotOpened, match="another secret of the server"):
        vault_of(bytes(32), "resolvers", random).open(vault.seal(SECRET, "row"), "row")


def test_it_does_not_open_once_a_byte_is_changed_or_missing(vault: Vault) -> None:
    sealed = vault.seal(SECRET, "row")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        for damaged in (bytes(changed), sealed[:place]):
            with pytest.raises(NotOpened):
                vault.open(damaged, "row")


def test_a_vault_does_not_show_its_key(vault: Vault) -> None:
    assert repr(vault.key) not in repr(vault)
    assert vault.key.hex() not in repr(vault)
