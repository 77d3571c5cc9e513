"""The rules for single values."""

import pytest

from server.domain import rules

FINE = {
    rules.email: ["user@example.com", "a.b+tag@sub.example.org", "josé@exämple.de", "root@localhost"],
    rules.username: ["ab", "a.b-c_d", "User99", "0x"],
    rules.bucket_name: ["Marketing", "CI / builds", "日本語", "a, b"],
    rules.prose: ["two\nlines\tand a tab", "🎉", "\u202eright to left"],
    rules.color: ["#1E88E5", "#abcdef"],
    rules.language_tag: [
        "en",
        "en-EN",
        "zh-Hant-TW",
        "de-CH-1996",
        "sl-rozaj-biske",
        "x-private",
        "en-u-hc-h12",
    ],
    rules.web_url: ["https://example.com/a?b=c#d", "http://[::1]:8080/", "https://exämple.de/ü"],
    rules.call_url: ["https://example.com/a@b?c=d@e", "http://[::1]:8080/hook"],
    rules.uuid: ["2b1f2a4c-0000-7000-8000-000000000000", "2B1F2A4C-0000-7000-8000-000000000000"],
    rules.background_call: ["GET::https://example.com/done?a=1", "DELETE::http://example.com"],
    rules.tap_url: ["/orders/123", "https://example.com", "myapp://orders/1", "tel:+123", "mailto:a@b.c"],
}
WRONG = {
    rules.email: [
        "",
        "user",
        "@example.com",
        "a@",
        "a b@c.de",
        "a@b@c.de",
        "a..b@c.de",
        "a@-b.de",
        "a\n@c.de",
    ],
    rules.username: ["", "-ab", "ab.", "a b", "a,b", "a@b", "ünal", "2b1f2a4c-0000-7000-8000-000000000000"],
    rules.bucket_name: [
        " a",
        "a ",
        "a\nb",
        "2b1f2a4c-0000-7000-8000-000000000000",
        "2B1F2A4C-0000-7000-8000-000000000000",
    ],
    rules.prose: ["nul\x00", "bell\x07", "\x9b31m"],
    rules.color: ["red", "#12345", "#1234567", "1E88E5", "#GGGGGG"],
    rules.language_tag: ["", "en_US", "e", "english-language-x", "en-", "-en", "x", "en--US"],
    rules.web_url: [
        "example.com",
        "ftp://a.b",
        "https://",
        "http:///path",
        "https://a b.c",
        "javascript:alert(1)",
        "https://a.b:99999",
    ],
    rules.call_url: [
        "ftp://a.b",
        "https://user:pw@example.com/",
        "https://user@example.com",
        "https://:pw@example.com",
        "https://@example.com",
    ],
    rules.uuid: [
        "",
        "Marketing",
        "2b1f2a4c00007000800000000000000",
        "{2b1f2a4c-0000-7000-8000-000000000000}",
    ],
    rules.background_call: [
        "",
        "https://example.com",
        "::https://example.com",
        "get::https://example.com",
        "CONNECT::https://example.com",
        "POST:https://example.com",
        "POST::",
        "POST::/done",
        "POST::javascript:alert(1)",
        "POST::https://example.com/ x",
        "POST::https://user:pw@example.com/",
    ],
    rules.tap_url: [
        "orders/123",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "myapp:",
        "https://",
    ],
}


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule in FINE for text in FINE[rule]])
def test_a_fine_value_passes(rule: rules.Rule, text: str) -> None:
    """Nothing is said about what is fine."""
    assert rule(text) is None


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule in WRONG for text in WRONG[rule]])
def test_a_wrong_value_is_told_why_and_what_would_be_right(rule: rules.Rule, text: str) -> None:
    """Both are there."""
    wrong = rule(text)
    assert wrong is not None
    assert all(wrong)
