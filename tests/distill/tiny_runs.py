"""The options of a run small enough for a test, and what a run left in its folder."""

import json

QUICK = {
    "teacher": ("wrn10-1",),
    "student": "wrn10-1",
    "image_size": 8,
    "epochs": 2,
    "precision": "fp32",
    "device": "cpu",
    "seeds": (0,),
}


def shas(folder):
    return {
        path.parent.relative_to(folder).as_posix(): json.loads(path.read_text())["weights_sha256"]
        for path in sorted(folder.rglob("training.json"))
    }


def record(folder, name):
    return json.loads((folder / name / "training.json").read_text())
