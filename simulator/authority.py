"""A certificate authority made at start, and one leaf for loopback and for the push service's name.

Clients of the simulated providers trust `ca.pem` and nothing else, so a test proves that real verification
takes place. The certificates satisfy OpenSSL's strict mode (the default since Python 3.13): critical basic
constraints and key usage, subject and authority key identifiers, a server-authentication leaf.
"""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from simulator.webpush_rules import HOST

LIFETIME = timedelta(days=30)
SKEW = timedelta(hours=1)
LOOPBACK = (
    x509.DNSName("localhost"),
    x509.DNSName(HOST),
    # For clients that know Apple and Google by no other name: whoever runs them leads the name here.
    x509.DNSName("api.push.apple.com"),
    x509.DNSName("fcm.googleapis.com"),
    x509.DNSName("oauth2.googleapis.com"),
    x509.DNSName("www.googleapis.com"),
    x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
    x509.IPAddress(ipaddress.IPv6Address("::1")),
)
ELSEWHERE = "elsewhere.hushpost.test"


@dataclass(frozen=True)
class Authority:
    """`certificate` is PEM text that clients trust; `leaf` holds certificate and key, readable by its owner."""

    certificate: str
    leaf: Path
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    made_at: datetime

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Serve the leaf; `protocols` are what ALPN offers."""
        return _context(self.leaf, protocols)

    def misfit(self, form: str, *, protocols: Sequence[str]) -> ssl.SSLContext:
        """Serve a leaf that no client should take: `form` is "name", "expired" or "stranger"."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = ec.generate_private_key(ec.SECP256R1()) if form == "stranger" else self.key
        ca = x509.load_pem_x509_certificate(self.certificate.encode())
        now = self.made_at - 2 * LIFETIME if form == "expired" else self.made_at
        names = [x509.DNSName(ELSEWHERE)] if form == "name" else LOOPBACK
        file = self.leaf.with_name(f"misfit-{form}.pem")
        write_private(file, _key_pem(key) + _pem(_leaf(key, ca, signer, now, names)))
        return _context(file, protocols)


def _context(leaf: Path, protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(leaf)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def make_authority(leaf: Path, *, now: datetime) -> Authority:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _ca(ca_key, now)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    write_private(leaf, _key_pem(leaf_key) + _pem(_leaf(leaf_key, ca, ca_key, now, LOOPBACK)))
    return Authority(certificate=_pem(ca), leaf=leaf, key=ca_key, made_at=now)


def write_private(path: Path, text: str) -> None:
    """Write a secret so that no other user can read it, not even for a moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(key: ec.EllipticCurvePrivateKey, subject: x509.Name, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ca(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    subject = _name("Hushpost simulator CA")
    return (
        _builder(key, subject, now)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    names: Sequence[x509.GeneralName],
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _builder(key, _name("localhost"), now)
        .issuer_name(ca.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
