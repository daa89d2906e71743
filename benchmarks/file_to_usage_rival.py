"""`python -m benchmarks.file_to_usage_rival FILE START END OUT`: DuckDB from an event file to usage."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.duckdb_metering import usage_of_file

if __name__ == "__main__":
    file, start, end, out = sys.argv[1:]
    with TemporaryDirectory() as scratch:
        usage_of_file(Path(file), int(start), int(end), scratch=scratch).write_parquet(out)
