"""Headlines with variables in braces, like "{actionUser} commented on {page}".

A variable stands for a text, or for somebody, who is shown by name. Each is put in once and what it holds is never looked at again, so
that no text of one user's is read as a template. What has no value stays as it is written.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.domain.account import User
from server.domain.mention import Mention, full_name
from server.domain.rules import Wrong

LONGEST_TEMPLATE = 1000
LONGEST_HEADLINE = 2000
_VARIABLE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Headline:
    """`values` are what the variables stand for, by their names."""

    template: str = field(repr=False)
    values: Mapping[str, str | Mention] = field(repr=False)

    def nameless(self) -> list[str]:
        """Return the keys of those whom it mentions without a name, each once."""
        used = (self.values.get(name) for name in variables_of(self.template))
        return list({one.key: None for one in used if isinstance(one, Mention) and one.name is None})

    def render(self, known: Mapping[str, User]) -> str:
        """Return the headline as it is shown; `known` are users who are mentioned, by the key of their mention."""

        def shown(found: re.Match[str]) -> str:
            value = self.values.get(found[1])
            if isinstance(value, Mention):
                return shown_name(value, known.get(value.key))
            return found[0] if value is None else value

        return _VARIABLE.sub(shown, self.template)


def variables_of(template: str) -> list[str]:
    """Return the names of the variables in a template, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(template)))


def shown_name(mention: Mention, user: User | None) -> str:
    """Return what to call somebody: by the name that is given with the mention or stored, else by the address, else as they are named."""
    stored = None if user is None else full_name(user.profile)
    address = mention.email or (None if user is None else user.email)
    return mention.name or stored or address or mention.key


def wrong_headline(text: str) -> Wrong | None:
    """Say why a headline cannot be shown as it is rendered, and what would be right; None where it can."""
    if not text.strip():
        return "is empty with its variables put in", "write something beside them"
    if len(text) > LONGEST_HEADLINE:
        return f"has {len(text)} characters with its variables put in", f"keep it within {LONGEST_HEADLINE}"
    return None
