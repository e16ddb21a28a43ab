# SPDX-License-Identifier: Apache-2.0
"""`python -m lathe` and the installed command: the executable that the package brings."""

import os
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).resolve().parent
    # In the wheel; in a build folder, where the package is build/python/lathe.
    for program in (here / "bin" / "lathe", here.parent.parent / "lathe"):
        if program.is_file():
            os.environ.setdefault("LATHE_PYTHON", sys.executable)
            os.execv(program, [str(program), *sys.argv[1:]])
    sys.exit("lathe: this installation has no command line program")


if __name__ == "__main__":
    main()
