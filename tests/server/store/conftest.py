"""What is collected here, by what there is to test on; the run's header says where it runs (`tests/harness/databases.py`)."""

from tests.harness import databases

collect_ignore = (
    [] if "postgresql" in databases.engines() else ["test_bell.py", "test_outages.py", "test_postgres.py"]
)
