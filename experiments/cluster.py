"""A grid on a Ray cluster of two nodes, of which a worker is killed and then a node removed; it must end, each training done once.

    OMP_NUM_THREADS=1 python experiments/cluster.py            the 60 small students of tiny.toml, a minute or two

Both nodes are started on this machine, with two cores and one. `distill grid --launch ray` has three workers. When a quarter
of the trainings are done, a worker is killed (SIGKILL to `distill work`); when half are done, the second node is removed
without grace, with whatever runs on it. The grid of the same file that is done in one process has to have the same hashes of
weights, optimizers, histories, predictions and results.

Writes `experiments/results/cluster.csv`, one row. Needs Linux and `pip install 'tsimage[ray]'`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from grid_kills import ends, logged

from distill.status import status

RESULTS = Path(__file__).parent / "results"
GRID = Path(__file__).parent / "tiny.toml"
CLUSTER = """
import os, sys
os.environ["RAY_health_check_period_ms"] = "300"
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
second = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
try:
    for line in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("removed", flush=True)
finally:
    cluster.shutdown()
"""


def wait_until(folder: Path, share: float, grid: subprocess.Popen[str]) -> int:
    """Wait until so large a share of the trainings is done; returns how many are."""
    while grid.poll() is None:
        if (folder / "grid.json").exists():
            counts = status(folder).counts()
            if counts["done"] >= share * sum(counts.values()):
                return counts["done"]
        time.sleep(0.1)
    raise SystemExit("the grid ended before it was disturbed")


def workers(folder: Path) -> list[int]:
    """Return the processes that do the trainings of a grid, by the names of their logs."""
    pids = [int(log.stem.rpartition("-")[2]) for log in (folder / "logs").glob("*.jsonl")]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, alone = Path(scratch) / "disturbed", Path(scratch) / "alone"
        nodes = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert nodes.stdin is not None
        assert nodes.stdout is not None
        try:
            address = nodes.stdout.readline().strip()
            command = [sys.executable, "-m", "distill", "grid", str(GRID), "--checkpoint-every", "1"]
            ray = ["--launch", "ray", "--workers", "3", "--threads", "1", "--ray", address]
            grid = subprocess.Popen([*command, "--out", str(folder), *ray], stdout=subprocess.PIPE, text=True)
            at_kill = wait_until(folder, 0.25, grid)
            before = workers(folder)
            os.kill(before[0], signal.SIGKILL)
            at_removal = wait_until(folder, 0.5, grid)
            nodes.stdin.write("remove\n")
            nodes.stdin.flush()
            nodes.stdout.readline()
            said, _ = grid.communicate()
            print(said)
        finally:
            nodes.stdin.close()
            nodes.wait()
        subprocess.run([*command, "--out", str(alone)], check=True, stdout=subprocess.DEVNULL)
        row = {
            "grid": GRID.stem,
            "exit code": grid.returncode,
            "workers seen": len(list((folder / "logs").glob("*.jsonl"))),
            "done when a worker was killed": at_kill,
            "done when a node was removed": at_removal,
            **logged(folder),
            "identical": ends(folder) == ends(alone),
            "torch": torch.__version__,
        }
    table = pd.DataFrame([row])
    print(table.T.to_string(header=False))
    table.to_csv(RESULTS / "cluster.csv", index=False, lineterminator="\n")
    sys.exit(int(row["exit code"] != 0 or row["done twice"] != 0 or not row["identical"]))


if __name__ == "__main__":
    main()
