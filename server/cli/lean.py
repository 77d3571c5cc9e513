"""Keeps a relay's processes small: whoever runs one for a thousand servers runs many.

Called before anything else is imported.
"""

import sys


def without_rich() -> None:
    """Structlog loads rich (3 MB) where it is installed, to colour traces for a terminal; a relay's log has none."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # how an import is made to fail
