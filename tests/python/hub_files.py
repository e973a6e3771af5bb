"""Files for `ipw`, written by the programs that users write them with, and its cache read by the hub's own.

    hub_files.py write DIRECTORY     writes the same rows in every format, below DIRECTORY
    hub_files.py fetch REPO FILE     fetches a file of a dataset with huggingface_hub; prints its path
    hub_files.py find REPO FILE      the same without network: only what is in the cache

The hub and the cache are those of the environment (HF_ENDPOINT, HF_HOME). What goes wrong is a failed
assertion or an exception.
"""

import json
import pathlib
import sys

ROWS = [
    {
        "problem": f"What is {number}?\nA. zwölf\nB. \U0001f600",
        "answer": "B",
        "subject": "numbers" if number % 2 else "signs",
        "level": number,
        "score": number / 4,
        "hard": number % 3 == 0,
        "tags": [] if number == 0 else [f"t{number}", None],
        "note": None if number == 1 else f"n{number}",
    }
    for number in range(7)
]


def write(directory):
    import datasets
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.feather
    import pyarrow.parquet

    datasets.disable_progress_bars()
    directory = pathlib.Path(directory)
    table = pa.Table.from_pylist(ROWS)
    # What no row of ours needs has to be left out, and not to be in the way.
    extra = {
        "blob": pa.array([b"\xff\x00"] * len(ROWS)),
        "box": pa.array([{"x": 1}] * len(ROWS)),
        "day": pa.array([0] * len(ROWS), pa.date32()),
        "kind": pa.array(["a", "b"] * 3 + ["a"]).dictionary_encode(),
    }
    wide = table
    for name, column in extra.items():
        wide = wide.append_column(name, column)

    for compression in ["snappy", "zstd", "none"]:
        pyarrow.parquet.write_table(
            wide, directory / f"{compression}.parquet", compression=compression, row_group_size=3
        )
    pyarrow.parquet.write_table(
        table, directory / "v2.parquet", data_page_version="2.0", use_dictionary=False
    )
    pyarrow.parquet.write_table(table, directory / "gzip.parquet", compression="gzip")
    for compression in ["lz4", "zstd", "uncompressed"]:
        pyarrow.feather.write_feather(
            wide, directory / f"{compression}.feather", compression=compression, chunksize=3
        )
    # As pandas does it by itself.
    pd.DataFrame(ROWS).to_feather(directory / "pandas.feather")
    pd.DataFrame(ROWS).to_parquet(directory / "pandas.parquet")
    with pa.OSFile(str(directory / "stream.arrow"), "wb") as sink:
        with pa.ipc.new_stream(sink, wide.schema) as writer:
            writer.write_table(wide, max_chunksize=3)
    dataset = datasets.Dataset.from_list(ROWS)
    dataset.save_to_disk(str(directory / "saved"))
    dataset.save_to_disk(str(directory / "sharded"), num_shards=3)
    splits = datasets.DatasetDict({"train": dataset.select([0]), "test": dataset})
    splits.save_to_disk(str(directory / "splits"))
    plain = table.drop_columns(["tags"])
    pyarrow.csv.write_csv(plain, directory / "rows.csv")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (directory / "rows.jsonl").write_text(lines)


def hub_download(repo, file, **options):
    import huggingface_hub

    path = huggingface_hub.hf_hub_download(repo, file, repo_type="dataset", **options)
    print(path)


def main(task, *arguments):
    if task == "write":
        write(*arguments)
    elif task == "fetch":
        hub_download(*arguments)
    elif task == "find":
        hub_download(*arguments, local_files_only=True)
    else:
        raise ValueError(task)


if __name__ == "__main__":
    main(*sys.argv[1:])
