"""Workers as jobs, with submitit's executor for this machine in the place of Slurm."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.tsimage.test_launch import lines, lives, pid_in, pieces, wait_for
from tsimage.launch import Launch, start
from tsimage.launch.slurm import parameters

pytest.importorskip("submitit", reason="needs submitit: pip install 'tsimage[slurm]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are bound to their parent on Linux alone")

DRIVER = """
    import os, signal, sys
    from pathlib import Path
    from tsimage.launch import Launch, slurm, start

    slurm.LATE_S = 0.3
    folder, what = Path(sys.argv[1]), sys.argv[2]

    def disturb():
        at = folder / "at-0"
        if at.exists() and not (folder / "disturbed").exists():
            (folder / "disturbed").write_text(at.read_text())
            job = int(Path(f"/proc/{at.read_text()}/stat").read_text().rpartition(")")[2].split()[1])  # its parent
            if what == "preempt":
                os.kill(job, signal.SIGUSR2)  # what Slurm is told to send some time before
            elif what == "kill":
                os.kill(job, signal.SIGKILL)
            elif what == "leave":
                sys.exit(5)

    launch = Launch(launch="slurm", workers=2, threads=1, slurm=("cluster=local", "timeout_min=5"))
    for ended in start(sys.argv[3:], launch, folder=folder, on_poll=disturb):
        print(ended.worker, ended.code, ended.killed_by or "-", ended.restarts)
"""


@pytest.fixture
def drive(repository, tmp_path):
    """Run two jobs with 6 pieces of 0.5 s, and disturb the first; return exit code and what was printed."""

    def _drive(what, *command):
        code = [sys.executable, "-c", textwrap.dedent(DRIVER), str(tmp_path), what]
        environment = os.environ | {"PYTHONPATH": str(repository)}
        given = command or pieces(tmp_path, 6, 0.5)
        done = subprocess.run([*code, *given], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return _drive


def test_jobs_share_the_pieces(drive, tmp_path):
    assert drive("nothing")[:2] == (0, ["0 0 - 0", "1 0 - 0"])
    assert [piece for piece, _ in lines(tmp_path)] == list(range(6))
    assert {worker for _, worker in lines(tmp_path)} == {0, 1}
    assert (tmp_path / "logs" / "worker-1.log").read_text() == "worker 1 with 1 threads\n"


def test_a_preempted_job_ends_its_command_and_goes_on(drive, tmp_path):
    assert drive("preempt")[:2] == (0, ["0 0 - 0", "1 0 - 0"])  # submitit starts it again, not this package
    assert [piece for piece, _ in lines(tmp_path)] == list(range(6))
    assert (tmp_path / "asked").exists()
    assert (tmp_path / "logs" / "worker-0.log").read_text() == "worker 0 with 1 threads\n" * 2


def test_a_job_that_is_lost_is_submitted_again(drive, tmp_path):
    code, said, errors = drive("kill")
    assert (code, said) == (0, ["0 0 - 1", "1 0 - 0"]), errors
    assert [piece for piece, _ in lines(tmp_path)] == list(range(6))


def test_leaving_cancels_the_jobs(drive, tmp_path):
    assert drive("leave")[0] == 5
    pid = pid_in(tmp_path / "disturbed")
    assert pid
    wait_for(lambda: not lives(pid))


def test_an_exit_code_comes_back(drive):
    assert drive("nothing", "sh", "-c", "exit 7")[:2] == (0, ["0 7 - 0", "1 7 - 0"])


def test_parameters_are_checked_before_anything_is_submitted(tmp_path, says, monkeypatch):
    def jobs(*slurm):
        return Launch(launch="slurm", workers=1, slurm=slurm)

    with pytest.raises(
        ValueError, match="unknown slurm parameter 'partitoin': did you mean 'partition'\\? Valid: account, "
    ):
        start(["true"], jobs("partitoin=gpu"), folder=tmp_path)
    with says("unknown slurm cluster 'mars': Valid: slurm, local"):
        start(["true"], jobs("cluster=mars"), folder=tmp_path)
    monkeypatch.setenv("PATH", "")
    with says(
        "launch slurm finds no Slurm on this machine (there is no srun): start it where jobs are submitted, or try it out here "
        "with --slurm cluster=local"
    ):
        start(["true"], jobs(), folder=tmp_path)
    assert parameters(["time=1-00:00:00", "exclusive=false", "mem_gb=8"]) == {
        "time": "1-00:00:00",
        "exclusive": False,
        "mem_gb": 8,
    }


SBATCH = """#!/bin/sh
cp "$1" "$(dirname "$0")/script"
echo Submitted batch job 17
"""


def test_what_slurm_is_asked_for(tmp_path, monkeypatch):
    """A counterfeit sbatch keeps the script that it was to submit."""
    from tsimage.launch import slurm

    for name, text in (("sbatch", SBATCH), ("srun", "#!/bin/sh\n")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    given = ("partition=gpu", "time=90", "mem_gb=8", "name=windows")
    launch = Launch(launch="slurm", workers=1, threads=3, gpus=1, slurm=given)
    with slurm.engine(["true"], launch, [tmp_path / "logs" / "worker-0.log"]) as begin:
        assert begin(0).job.job_id == "17"
    script = Path(tmp_path / "bin" / "script").read_text().splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in script if line.startswith("#SBATCH")}
    assert {
        "partition=gpu",
        "time=90",
        "mem=8GB",
        "job-name=windows",
        "cpus-per-task=3",
        "gpus-per-node=1",
    } <= asked
