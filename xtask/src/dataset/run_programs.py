"""Runs programs and queries, and prints what they gave.

The argument is a JSON file with a list of {"python": program} or {"script": setup, "query": query};
the output is a JSON list with the printed text or the only value of each.
"""

import contextlib
import io
import json
import sqlite3
import sys


def printed(program):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})
    return output.getvalue().rstrip("\n")


def returned(script, query):
    database = sqlite3.connect(":memory:")
    database.executescript(script)
    rows = database.execute(query).fetchall()
    if len(rows) != 1 or len(rows[0]) != 1:
        return f"{len(rows)} rows"
    return str(rows[0][0])


def outcome(job):
    try:
        return printed(job["python"]) if "python" in job else returned(job["script"], job["query"])
    except Exception as error:
        return f"{type(error).__name__}: {error}"


with open(sys.argv[1], encoding="utf-8") as file:
    jobs = json.load(file)
json.dump([outcome(job) for job in jobs], sys.stdout)
