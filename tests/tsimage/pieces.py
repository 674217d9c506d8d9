"""A command that workers run in tests: takes pieces by lock until all are done; uses the standard library alone.

`python pieces.py FOLDER N SECONDS`: a line `PIECE WORKER` is added to FOLDER/done for each of N pieces, SECONDS after it was
taken; FOLDER/at-WORKER holds the process id of a worker as long as it has a piece, FOLDER/asked is there once one got SIGTERM.
"""

import os
import signal
import sys
import time
from pathlib import Path


def main():
    import fcntl  # which Windows does not have

    folder, n, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    worker = os.environ["TSIMAGE_WORKER"]
    at = folder / f"at-{worker}"

    def leave(number, frame):
        (folder / "asked").touch()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else leave)

    def done():
        path = folder / "done"
        return {int(line.split()[0]) for line in path.read_text().splitlines()} if path.exists() else set()

    sys.stdout.write(f"worker {worker} with {os.environ['OMP_NUM_THREADS']} threads\n")
    sys.stdout.flush()
    while len(done()) < n:
        for piece in range(n):
            with (folder / f"lock-{piece}").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if piece in done():
                    continue
                at.write_text(str(os.getpid()))
                time.sleep(seconds)
                with (folder / "done").open("a") as file:
                    file.write(f"{piece} {worker}\n")
                at.unlink()
        time.sleep(0.02)
    if "fail" in sys.argv:
        sys.exit(3)


if __name__ == "__main__":
    main()
