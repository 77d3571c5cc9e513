"""The credentials that a relay needs for the simulated providers, in the forms that Apple and Google hand out."""

import json
import string
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from simulator.apns_rules import Team
from simulator.authority import write_private
from simulator.devices import Random
from simulator.google import Account

LETTERS = string.ascii_uppercase + string.digits
ID_LENGTH = 10
RSA_BITS = 2048


@dataclass(frozen=True)
class Credentials:
    """The private halves; `team` and `account` are what the providers check against."""

    team: Team
    account: Account
    apns_key: str = field(repr=False)
    google_key: str = field(repr=False)

    def unshared(self) -> "Credentials":
        """Give the same keys with lists of apps and projects of their own: those grow with the tokens made."""
        team = replace(self.team, topics=set(self.team.topics))
        account = replace(self.account, projects=set(self.account.projects))
        return replace(self, team=team, account=account)

    def write_apns_key(self, directory: Path) -> Path:
        path = directory / f"AuthKey_{self.team.key_id}.p8"
        write_private(path, self.apns_key)
        return path

    def write_service_account(self, directory: Path, project: str, url: str) -> Path:
        path = directory / "service-account.json"
        document = {
            "type": "service_account",
            "project_id": project,
            "private_key_id": self.account.key_id,
            "private_key": self.google_key,
            "client_email": self.account.email,
            "client_id": str(int(self.account.key_id[:16], 16)),
            "auth_uri": f"{url}/auth",
            "token_uri": f"{url}/token",
            "universe_domain": "googleapis.com",
        }
        write_private(path, json.dumps(document, indent=2) + "\n")
        return path


def make_credentials(random: Random, *, app: str, project: str) -> Credentials:
    """Make both keys; RSA's takes a tenth of a second, so many providers may share one set."""
    apple = ec.generate_private_key(ec.SECP256R1())
    google = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    account = Account(
        email=f"firebase-adminsdk@{project}.iam.gserviceaccount.com",
        key_id=random(20).hex(),
        public_key=google.public_key(),
        projects={project},
    )
    team = Team(_apple_id(random), _apple_id(random), apple.public_key(), {app})
    return Credentials(team, account, apns_key=_pem(apple), google_key=_pem(google))


def _apple_id(random: Random) -> str:
    return "".join(LETTERS[byte % len(LETTERS)] for byte in random(ID_LENGTH))


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
