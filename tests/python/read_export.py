"""Reads an exported table with DuckDB and prints what it found as JSON.

usage: read_export.py TABLE
"""

import json
import sys

import duckdb


def main(table: str) -> None:
    rows = duckdb.sql(f"select * from '{table}' order by run, query_index")
    names = rows.columns
    cells = [dict(zip(names, row)) for row in rows.fetchall()]
    sums = duckdb.sql(
        "select run, count(*), sum(energy_metrics_basis_joules), sum(lm_correctness::int) "
        f"from '{table}' group by run order by run"
    ).fetchall()
    types = {name: str(kind) for name, kind in zip(names, rows.types)}
    json.dump({"rows": cells, "sums": sums, "types": types}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
