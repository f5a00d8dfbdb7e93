"""Run the Python blocks of a page in one namespace: each comes in as a line of JSON, what it printed goes out as one.

Started by the reader in a process of its own, which ends with its standard input.
"""

import contextlib
import io
import json
import sys
import traceback


def main() -> None:
    """Run blocks until there are no more."""
    space: dict[str, object] = {"__name__": "page"}
    answers = sys.stdout
    for line in sys.stdin:
        name, code = json.loads(line)
        printed, error = io.StringIO(), ""
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(code, name, "exec"), space)
            except BaseException:
                error = traceback.format_exc()
        answers.write(json.dumps([printed.getvalue(), error]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
