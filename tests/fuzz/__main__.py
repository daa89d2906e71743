"""`python -m tests.fuzz`: looks for bytes that the readers stumble over, guided by the code that they reach.

FUZZ_SECONDS is how long (600 if not given). The first byte of an input says which kind of file the rest is. An input
that breaks something is written to `crash-*`, and belongs into a test then.
"""

import os
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ModuleNotFoundError:
    sys.exit("atheris is not installed: `make fuzz` installs it (Linux on x86_64, Python up to 3.13)")

with atheris.instrument_imports(include=["billing"]):
    from tests.fuzz.reading import ENDINGS, corpus, read


def one_input(data: bytes) -> None:
    """Reads one made-up file."""
    if data:
        read(data[1:], ENDINGS[data[0] % len(ENDINGS)])


def main() -> None:
    seconds = os.environ.get("FUZZ_SECONDS", "600")
    with tempfile.TemporaryDirectory(prefix="billing-fuzz-") as directory:
        for number, (ending, content) in enumerate(corpus()):
            (Path(directory) / f"{number}{ending}").write_bytes(bytes([ENDINGS.index(ending)]) + content)
        options = [f"-max_total_time={seconds}", "-rss_limit_mb=4096", "-timeout=60", "-max_len=8192", directory]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
