"""What a command of distill does when it is asked to stop, when the disk is full or goes away, and when memory ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from distill.sealed import unpack

COMMAND = [
    sys.executable,
    "-m",
    "distill",
    "run",
    "--teacher",
    "wrn10-1:signal",
    "--student",
    "wrn10-1",
    "--seeds",
    "0",
]
ON_TMPFS = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
needs_mounts = pytest.mark.skipif(not ON_TMPFS, reason="needs Linux user namespaces to mount a small file system")


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_writes_a_checkpoint_and_leaves_with_the_code_of_the_signal(tmp_path, number, code):
    out = tmp_path / "run"
    command = [*COMMAND, "--epochs", "5000", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as run:
        history = out / "seed-0" / "teacher-wrn10-1-signal" / "history.jsonl"
        deadline = time.monotonic() + 120
        while (not history.exists() or not history.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        run.send_signal(number)
        said, errors = run.communicate(timeout=60)
    assert run.returncode == code
    assert errors == f"distill: stopped by {number.name}\n"
    assert said.splitlines()[-1] == "Broken off: the same command goes on from the last checkpoint."
    _, about = unpack(history.parent / "checkpoint.safetensors")
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    assert about["history"] == rows
    assert about["epoch"] == len(rows) + 1


IN_COMPILED_CODE = """
import hashlib
from distill import interrupts
with interrupts.handled(), interrupts.held():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_it_leaves_in_time_from_an_operation_that_no_handler_interrupts():
    command = [sys.executable, "-c", IN_COMPILED_CODE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.readline()
        run.terminate()
        _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (143, "stopped by SIGTERM in the middle of a long step\n")


def in_a_small_disk(script, tmp_path, size):
    """Run shell lines in a folder that is a file system of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    lines = f"set -u\nmount -t tmpfs -o size={size} tmpfs '{disk}'\ncd '{disk}'\n{script}"
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", lines], capture_output=True, text=True, timeout=300, env=environment()
    )


def shell(*more):
    return " ".join([*COMMAND, "--epochs", "3", "--checkpoint-every", "0s", *more])


@needs_mounts
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(tmp_path):
    script = f"""
        {shell("--out", "whole")} > /dev/null || exit 1
        mkdir run; cat /dev/zero > ballast 2> /dev/null; truncate -s -200k ballast
        {shell("--out", "run")} > said 2> errors; echo code $?
        cat errors
        rm ballast
        {shell("--out", "run")} > /dev/null; echo code $?
        for name in result.json predictions.csv; do cmp whole/$name run/$name && echo same; done
        find run -name 'checkpoint*' -o -name '.*.partial'
    """
    done = in_a_small_disk(script, tmp_path, "3m")
    lines = done.stdout.splitlines()
    assert lines[0] == "code 2", done.stdout + done.stderr
    assert lines[1].startswith("distill: the disk is full: 'run/")
    assert " could not be written (it needs " in lines[1]
    assert lines[1].endswith("what was finished is kept: make room and give the same command again")
    assert lines[2:] == ["code 0", "same", "same"]
    assert done.stderr == ""


@needs_mounts
def test_a_disk_that_may_not_be_written_is_one_sentence(tmp_path):
    script = f"mount -o remount,ro .\n{shell('--out', 'run')} > /dev/null; echo code $?"
    done = in_a_small_disk(script, tmp_path, "3m")
    assert done.stdout == "code 2\n"
    assert done.stderr == "distill: Read-only file system: 'run': check that the path is right and may be written\n"


def test_a_run_directory_that_vanishes_is_one_sentence(tmp_path):
    out = tmp_path / "run"
    command = [*COMMAND, "--epochs", "5000", "--checkpoint-every", "0s", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as run:
        deadline = time.monotonic() + 120
        while not list(out.rglob("checkpoint.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.1)
        out.rename(tmp_path / "elsewhere")
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    assert errors.startswith("distill: No such file or directory: '")
    assert errors.endswith("': check that the path is right and may be written\n")
    assert errors.count("\n") == 1


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import torch
import distill
from distill.progress import Plain
from tsimage import load

torch.set_num_threads(1)
windows = load("basic-motions", channels="acc*")
options = dict(student="wrn10-1", seeds=(0,), epochs=1, device="cpu", precision="fp32")
warm = distill.Run(teacher="wrn10-1:gasf", image_size=8, **options)  # so that every library is there
distill.run(warm, windows, Path(sys.argv[1]) / "warm")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)
run = distill.Run(teacher="wrn10-2:gasf", image_size=96, batch_size=40, **options)
distill.run(run, windows, Path(sys.argv[1]) / "run", Plain(sys.stdout))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_batches_shrink_where_the_address_space_ends(tmp_path):
    command = [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "memory ran out: every batch now goes in 2 parts, whose gradients add up" in done.stdout
    teacher = json.loads((tmp_path / "run" / "seed-0" / "teacher-wrn10-2-gasf" / "training.json").read_text())
    assert teacher["micro_batches"] >= 2
    scratch = json.loads((tmp_path / "run" / "seed-0" / "scratch-wrn10-1" / "training.json").read_text())
    assert scratch["micro_batches"] == 1
