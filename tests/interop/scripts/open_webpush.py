"""http-ece: open a Web Push body (RFC 8291)."""

import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


given = json.load(sys.stdin)
key = ec.derive_private_key(int.from_bytes(_bytes(given["scalar"]), "big"), ec.SECP256R1())
try:
    plaintext = http_ece.decrypt(
        _bytes(given["body"]), private_key=key, auth_secret=_bytes(given["auth"]), version="aes128gcm"
    )
    json.dump({"plaintext": urlsafe_b64encode(plaintext).decode().rstrip("=")}, sys.stdout)
except http_ece.ECEException as error:
    json.dump({"error": str(error)}, sys.stdout)
