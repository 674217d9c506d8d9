"""A program, run by its path, that becomes a command which dies with the process that started it.

`python bound.py PARENT COMMAND ...` asks Linux to be killed when PARENT ends, however it ends, and then turns into COMMAND:
the process that was started is the command itself. Where the system cannot be asked, the command runs unbound. It uses
nothing beside the standard library, so that it starts in no time.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before it could be watched
            sys.exit(1)
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and what a process ignores its next program ignores too
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"'{command[0]}' cannot be started: {error.strerror}")


if __name__ == "__main__":
    main()
