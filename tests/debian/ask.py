"""Ask the machine to run a command: `python ask.py SOCKET NAME WORD...`; what it prints and its exit code come back."""

import json
import socket
import sys


def main() -> int:
    """Ask once."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(sys.argv[1])
        line.sendall(json.dumps(sys.argv[2:]).encode() + b"\n")
        with line.makefile("r", encoding="utf-8") as answers:
            code, printed = json.loads(answers.readline())
    sys.stdout.write(printed)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
