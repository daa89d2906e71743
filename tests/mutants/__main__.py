"""The mutation check: `python -m tests.mutants [MODULE ...]`, from the root of the project.

It runs in a copy, so that nothing changes under it: the modules and tests are loaded anew for each trial.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> int:
    with TemporaryDirectory(prefix="billing-mutants-") as copy:
        for name in ("billing", "tests"):
            shutil.copytree(name, Path(copy, name), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy("pyproject.toml", copy)
        return subprocess.run([sys.executable, "-m", "tests.mutants.check", *sys.argv[1:]], cwd=copy).returncode


if __name__ == "__main__":
    sys.exit(main())
