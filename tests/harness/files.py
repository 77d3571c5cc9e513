"""Files for tests that have none."""

from pathlib import Path

from server.store.files import Files

NO_FILES = Files(Path("/nonexistent"))
