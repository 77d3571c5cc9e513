"""Section 4, the table of codes: each rule of the signature profile broken once, each row of the table, and their order."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from crypto.encoding import b64u
from crypto.httpsig import PUSH, content_digest
from relay.conformance.answer import Failed
from relay.conformance.case import Case, Check
from relay.conformance.given import Need
from relay.conformance.request import NO_PUSHES, Draft, Request
from relay.conformance.subject import Subject
from relay.wire import JSON_TYPE, MAX_BYTES, MAX_PUSHES, PUSH_PATH

Make = Callable[[Subject], Request]
Spoil = Callable[[Draft], Draft]

_ADMITTED = frozenset({Need.ADMITTED})
_BACKWARDS = PUSH.components[::-1]
_ELSEWHERE = "https://relay.example"


def _signing(**changes: Any) -> Make:
    """A request that is signed with these parts."""
    return lambda subject: subject.draft().but(**changes).sign()


def _sending(**fields: str | None) -> Make:
    """A request whose fields are changed after it was signed."""
    return lambda subject: subject.draft().sign().with_fields(**fields)


def _params(**texts: str | None) -> Make:
    return _signing(params=texts)


def _second(field: str) -> Make:
    """One more member, under another label, in one of the two signature fields or in both."""

    def make(subject: Subject) -> Request:
        request = subject.draft().sign()
        names = ("Signature", "Signature-Input") if field == "both" else (field,)
        more = {
            name.replace(
                "-", "_"
            ): f"{request.field(name)}, {request.field(name).replace('hushpost=', 'other=')}"
            for name in names
        }
        return request.with_fields(**more)

    return make


def _digest_twice(subject: Subject) -> Request:
    """A field that is sent twice, and signed as RFC 9110 joins it."""
    once = content_digest(NO_PUSHES)
    request = subject.draft().but(digest=f"{once}, {once}").sign()
    return request.with_lines(("Content-Digest", once), ("Content-Digest", once))


async def _type_twice(subject: Subject) -> None:
    """An HTTP library may refuse this before the relay sees it, and knows no codes."""
    twice = (("Content-Type", JSON_TYPE), ("Content-Type", JSON_TYPE))
    request = subject.draft().but(content_type=f"{JSON_TYPE}, {JSON_TYPE}").sign().with_lines(*twice)
    answer = await subject.send(request, by_library=True)
    if answer.status != HTTPStatus.BAD_REQUEST or answer.code not in {"", "signature_profile"}:
        raise Failed(f"must be refused as 400 signature_profile, not {answer.said}")


def _signature(text: str) -> Make:
    return _sending(Signature=text)


def _altered(subject: Subject) -> Request:
    """One bit of it turned."""
    request = subject.draft().sign()
    value = bytearray(b64decode(request.field("Signature").split(":")[1]))
    value[0] ^= 1
    return request.with_fields(Signature=f"hushpost=:{b64encode(value).decode()}:")


def _spaced(subject: Subject) -> Request:
    """Optional white space, which RFC 8941 would let a parser skip."""
    return subject.draft().but(params={"nonce": None}, suffix=f'; nonce="{b64u(subject.random(16))}"').sign()


def _other_key(subject: Subject) -> Request:
    return subject.draft().but(public=b64u(subject.stranger().public.raw)).sign()


# Nobody has proved anything: told without a signature.
_FORM: Sequence[tuple[str, str, Make]] = (
    (
        "signature_missing",
        "neither Signature nor Signature-Input",
        _sending(Signature=None, Signature_Input=None),
    ),
    ("signature_missing", "no Signature", _sending(Signature=None)),
    ("signature_missing", "no Signature-Input", _sending(Signature_Input=None)),
    ("key_mismatch", "no Hushpost-Key", _sending(Hushpost_Key=None)),
    ("key_mismatch", "a Hushpost-Key that is not base64url", _sending(Hushpost_Key="not a key")),
    ("key_mismatch", "a Hushpost-Key of 31 bytes", _sending(Hushpost_Key=b64u(bytes(31)))),
    ("key_mismatch", "a Hushpost-Key that is not the keyid's", _other_key),
    ("signature_profile", "a second label in both signature fields", _second("both")),
    ("signature_profile", "a second signature", _second("Signature")),
    ("signature_profile", "a second signature input", _second("Signature-Input")),
    ("signature_profile", "another label", _signing(label="sig1")),
    ("signature_profile", "components in another order", _signing(components=_BACKWARDS)),
    ("signature_profile", "a component too few", _signing(components=PUSH.components[:-1])),
    (
        "signature_profile",
        "a component too many",
        _signing(components=(*PUSH.components, '"@authority"'), values={'"@authority"': "relay.example"}),
    ),
    (
        "signature_profile",
        "a component with a parameter",
        _signing(
            components=('"@method"', '"@target-uri"', '"content-type";sf', '"content-digest"'),
            values={'"content-type";sf': "application/json"},
        ),
    ),
    *(
        ("signature_profile", f"no parameter {name}", _params(**{name: None}))
        for name in ("created", "expires", "nonce", "keyid", "alg", "tag")
    ),
    ("signature_profile", "a parameter twice", _signing(suffix=';tag="hushpost-push"')),
    ("signature_profile", "an unknown parameter", _signing(suffix=';more="1"')),
    ("signature_profile", "another alg", _params(alg='"hmac-sha256"')),
    ("signature_profile", "another tag", _params(tag='"hushpost-status"')),
    ("signature_profile", "created as a string", lambda s: _created_as(s, '"{}"')),
    ("signature_profile", "created with a leading zero", lambda s: _created_as(s, "0{}")),
    ("signature_profile", "created with a fraction", lambda s: _created_as(s, "{}.0")),
    ("signature_profile", "white space between parameters", _spaced),
    ("signature_profile", "expires 61 s after created", _signing(lifetime=61)),
    ("signature_profile", "expires before created", _signing(lifetime=-1)),
    ("signature_profile", "a nonce of 15 bytes", _signing(nonce=bytes(15))),
    ("signature_profile", "a nonce of 17 bytes", _signing(nonce=bytes(17))),
    ("signature_profile", "a nonce with padding", _params(nonce='"AAAAAAAAAAAAAAAAAAAAAA=="')),
    ("signature_profile", "a nonce with stray bits", _params(nonce='"AAAAAAAAAAAAAAAAAAAAAB"')),
    ("signature_profile", "a keyid of 31 bytes", _params(keyid=f'"{b64u(bytes(31))}"')),
    ("signature_profile", "a signature of 63 bytes", _signature(f"hushpost=:{'A' * 84}:")),
    ("signature_profile", "a signature with stray bits", _signature(f"hushpost=:{'A' * 85}B==:")),
    ("signature_profile", "a signature that is not base64", _signature("hushpost=:%:")),
    ("signature_profile", "a signature without its colons", _signature(f"hushpost={'A' * 86}==")),
    ("signature_profile", "no Content-Digest", _sending(Content_Digest=None)),
    ("signature_profile", "no Content-Type", _sending(Content_Type=None)),
    ("signature_profile", "Content-Digest twice", _digest_twice),
    (
        "signature_profile",
        "a second algorithm in Content-Digest",
        _signing(digest=f"{content_digest(NO_PUSHES)}, sha-512=:AAAA:"),
    ),
    (
        "signature_profile",
        "a Content-Digest of another algorithm",
        _signing(digest=f"sha-512=:{'A' * 86}==:"),
    ),
    ("signature_profile", "a Content-Digest with stray bits", _signing(digest=f"sha-256=:{'A' * 42}B=:")),
)


def _created_as(subject: Subject, text: str) -> Request:
    draft = subject.draft()
    return draft.but(params={"created": text.format(draft.created)}).sign()


# As above, but asked only after the key is admitted.
_INVALID: Sequence[tuple[str, str, Make]] = (
    ("signature_invalid", "signed for another relay", _signing(url=_ELSEWHERE)),
    ("signature_invalid", "an altered signature", _altered),
    (
        "signature_invalid",
        "a content type changed after signing",
        _sending(Content_Type="application/json;a=b"),
    ),
    (
        "signature_invalid",
        "a digest changed after signing",
        _sending(Content_Digest=content_digest(NO_PUSHES + b" ")),
    ),
)


def _aged(seconds: int, lifetime: int = 60) -> Make:
    def make(subject: Subject) -> Request:
        draft = subject.draft()
        return draft.but(created=draft.created - seconds, lifetime=lifetime).sign()

    return make


def _body(body: bytes) -> Make:
    return _signing(body=body)


def _body_after(body: bytes) -> Make:
    """A body that is not the one whose digest was signed."""
    return lambda subject: subject.draft().but(body=body, digest=content_digest(NO_PUSHES)).sign()


def _chunked(body: bytes) -> Make:
    def make(subject: Subject) -> Request:
        request = subject.draft().but(body=body).sign()
        return Request(request.method, request.path, request.fields, body, request.context, chunked=True)

    return make


TOO_MANY = b'{"pushes":[' + b",".join([b"{}"] * (MAX_PUSHES + 1)) + b"]}"
_TOO_LARGE = b" " * (MAX_BYTES + 1)

# Who asks has proved itself: told with a signature. The fourth is the field that must be named.
_VERIFIED: Sequence[tuple[str, str, Make, str]] = (
    ("created_skew", "created 63 s ago", _aged(63), ""),
    ("created_skew", "created 63 s ahead", _aged(-63), ""),
    ("signature_expired", "expired some seconds ago", _aged(8, lifetime=5), ""),
    ("body_too_large", "a byte more than 4 MiB", _body(_TOO_LARGE), ""),
    ("body_too_large", "a byte more than 4 MiB, its length not announced", _chunked(_TOO_LARGE), ""),
    ("digest_mismatch", "a body that is not the digest's", _body_after(NO_PUSHES + b" "), ""),
    ("digest_mismatch", "no body where one was signed", _body_after(b""), ""),
    ("bad_request", "another content type", _signing(content_type="text/plain"), "Content-Type"),
    ("bad_request", "a list in place of the object", _body(b"[]"), ""),
    ("bad_request", "no pushes", _body(b"{}"), "pushes"),
    ("bad_request", "pushes that are no list", _body(b'{"pushes":{}}'), "pushes"),
    ("bad_request", "a member beside pushes", _body(b'{"pushes":[],"title":"in the clear"}'), "pushes"),
    ("bad_request", "pushes that are null", _body(b'{"pushes":null}'), "pushes"),
    ("bad_json", "an empty body", _body(b""), ""),
    ("bad_json", "JSON that breaks off", _body(b'{"pushes":['), ""),
    ("bad_json", "something behind the JSON", _body(b'{"pushes":[]}{}'), ""),
    ("bad_json", "NaN", _body(b'{"pushes":[NaN]}'), ""),
    ("bad_json", "a single quote", _body(b"{'pushes':[]}"), ""),
    ("bad_json", "bytes that are not UTF-8", _body(b'{"pushes":["\xff"]}'), ""),
    ("bad_json", "UTF-16", _body('{"pushes":[]}'.encode("utf-16")), ""),
    ("bad_json", "a hundred thousand brackets", _body(b'{"pushes":' + b"[" * 100_000), ""),
    ("bad_json", "a key twice", _body(b'{"pushes":[],"pushes":[]}'), ""),
    ("bad_json", "a key twice, once in another spelling", _body(b'{"pushes":[],"pu\\u0073hes":[]}'), ""),
    ("bad_json", "a key twice within a push", _body(b'{"pushes":[{"id":"a","id" :"b"}]}'), ""),
    ("bad_json", "a key twice, deeper", _body(b'{"pushes":[{"id":{"a":1,"a":2}}]}'), ""),
    ("too_many_pushes", f"{MAX_PUSHES + 1} pushes", _body(TOO_MANY), ""),
)


def _refused(code: str, make: Make, *, signed: bool, names: str = "") -> Check:
    async def check(subject: Subject) -> None:
        await subject.refuses(make(subject), code, signed=signed, names=names)

    return check


def _table() -> list[Case]:
    found = [Case(4, f"{code}: {name}", _refused(code, make, signed=False)) for code, name, make in _FORM]
    found += [
        Case(4, f"{code}: {name}", _refused(code, make, signed=False), _ADMITTED)
        for code, name, make in _INVALID
    ]
    found += [
        Case(4, f"{code}: {name}", _refused(code, make, signed=True, names=names), _ADMITTED)
        for code, name, make, names in _VERIFIED
    ]
    return found


def _encoded(encoding: str) -> Check:
    return _refused("encoding_unsupported", _sending(Content_Encoding=encoding), signed=False)


async def _with_query(subject: Subject) -> None:
    request = subject.draft().sign()
    await subject.refuses(request, "bad_request", signed=True, names="query", path=f"{PUSH_PATH}?a=b")


CASES: tuple[Case, ...] = (
    *_table(),
    Case(4, "signature_profile: Content-Type twice", _type_twice),
    Case(4, "encoding_unsupported: gzip", _encoded("gzip")),
    Case(4, "encoding_unsupported: identity", _encoded("identity")),
    Case(4, "bad_request: a query", _with_query, _ADMITTED),
)
