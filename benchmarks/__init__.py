"""Speed and memory on a made-up day of 10 million events, against DuckDB; see README.md."""
