"""Workers as tasks of a real Ray cluster: a head and a second node, both on this machine."""

import os
import subprocess
import sys
import tempfile
import textwrap

import pytest

from tests.tsimage.test_launch import lines, lives, pid_in, pieces, wait_for

pytest.importorskip("ray", reason="needs Ray: pip install 'tsimage[ray]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are bound to their parent on Linux alone")

# Ray warns and starts threads, so that it has a process of its own; a line on stdin removes the second node
CLUSTER = """
    import os, sys
    os.environ["RAY_health_check_period_ms"] = "300"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        second = cluster.add_node(num_cpus=1, resources={"second": 1})
        print(cluster.address, flush=True)
        for line in sys.stdin:
            if line == "remove\\n":
                cluster.remove_node(second, allow_graceful=False)
            else:
                second = cluster.add_node(num_cpus=1, resources={"second": 1})
            print("done", flush=True)
    finally:
        cluster.shutdown()
"""

DRIVER = """
    import os, signal, sys
    from pathlib import Path
    from tsimage.launch import Launch, process, start

    folder, what = Path(sys.argv[1]), sys.argv[2]

    def pid(worker):
        at = folder / f"at-{worker}"
        return int(at.read_text() or 0) if at.exists() else 0

    def disturb():
        if what in ("kill", "leave") and not (folder / "disturbed").exists() and pid(1) and pid(2):
            (folder / "disturbed").write_text(str(pid(1)))
            if what == "leave":
                raise KeyboardInterrupt
            task = int(Path(f"/proc/{pid(2)}/stat").read_text().rpartition(")")[2].split()[1])  # its parent
            os.kill(pid(1), signal.SIGKILL)
            os.kill(task, signal.SIGKILL)

    launch = Launch(launch="ray", workers=3, threads=1, ray=os.environ.get("GIVEN"))
    try:
        ended = start(sys.argv[3:], launch, folder=folder, on_poll=disturb)
        with (folder / "ended").open("w") as file:  # as Ray itself writes to stdout
            for e in ended:
                file.write(f"{e.worker} {e.code} {e.killed_by or '-'} {e.restarts}\\n")
    except KeyboardInterrupt:
        sys.exit(130)
"""


class Nodes:
    """A cluster of two nodes with 2 and 1 cores."""

    def __init__(self, environment):
        command = [sys.executable, "-c", textwrap.dedent(CLUSTER)]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address

    def change(self, how):
        self.process.stdin.write(f"{how}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def environment(repository):
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:  # as names of sockets must be
        yield os.environ | {
            "PYTHONPATH": str(repository),
            "PYTHONWARNINGS": "ignore",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": short,
        }


@pytest.fixture(scope="module")
def nodes(environment):
    cluster = Nodes(environment)
    yield cluster
    cluster.close()


@pytest.fixture
def drive(nodes, environment, tmp_path):
    """Start three workers on the cluster with 9 pieces; the process that drives them."""

    def _drive(what, *more, seconds=0.5, **variables):
        code = [sys.executable, "-c", textwrap.dedent(DRIVER), str(tmp_path), what]
        return subprocess.Popen(
            [*code, *pieces(tmp_path, 9, seconds, *more)],
            env=environment | {"RAY_ADDRESS": nodes.address} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return _drive


def finish(process, folder):
    _, errors = process.communicate(timeout=120)
    ended = folder / "ended"
    return process.returncode, ended.read_text().splitlines() if ended.exists() else errors


def test_killed_commands_and_tasks_start_again_and_no_piece_is_lost(drive, nodes, tmp_path):
    process = drive("kill", GIVEN=nodes.address, RAY_ADDRESS="127.0.0.1:1")
    assert finish(process, tmp_path) == (0, ["0 0 - 0", "1 0 - 1", "2 0 - 1"])
    assert [piece for piece, _ in lines(tmp_path)] == list(range(9))
    assert {worker for _, worker in lines(tmp_path)} == {0, 1, 2}
    assert (tmp_path / "logs" / "worker-0.log").read_text() == "worker 0 with 1 threads\n"
    assert (tmp_path / "logs" / "worker-1.log").read_text() == "worker 1 with 1 threads\n" * 2


def test_when_a_node_is_lost_its_pieces_are_done_elsewhere(drive, nodes, tmp_path):
    process = drive("nothing", "fail", seconds=0.8)
    pids = [wait_for(lambda k=k: pid_in(tmp_path / f"at-{k}"), 60) for k in range(3)]
    nodes.change("remove")
    code, ended = finish(process, tmp_path)
    nodes.change("add")
    assert (code, sorted(line.partition(" ")[2] for line in ended)) == (0, ["3 - 0", "3 - 0", "3 - 1"])
    assert [piece for piece, _ in lines(tmp_path)] == list(range(9))
    assert not any(lives(pid) for pid in pids)


def test_an_interruption_reaches_the_workers(drive, tmp_path):
    code, said = finish(drive("leave", seconds=60), tmp_path)
    assert code == 130, said
    wait_for((tmp_path / "asked").exists)
    wait_for(lambda: not lives(pid_in(tmp_path / "disturbed")))


def test_workers_do_not_outlive_a_killed_parent(drive, tmp_path):
    process = drive("nothing", seconds=60)
    pids = [wait_for(lambda k=k: pid_in(tmp_path / f"at-{k}"), 60) for k in range(3)]
    process.kill()
    process.communicate()
    wait_for(lambda: not any(lives(pid) for pid in pids), 60)
