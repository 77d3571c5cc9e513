"""What all tables share: the names of what is made of them, and the columns that many have."""

from sqlalchemy import BigInteger, Column, ColumnElement, ForeignKey, Index, MetaData, Table, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[str]:
    return Column("id", Text, primary_key=True)


def ref_column(name: str, target: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=optional)


def time_column(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


def of_some(table: Table, name: str, condition: ColumnElement[bool], *columns: str) -> None:
    """Index the few rows that are in some state, so that what is settled costs the others nothing."""
    listed = [table.c[column] for column in columns]
    Index(f"ix_{table.name}_{name}", *listed, postgresql_where=condition, sqlite_where=condition)
