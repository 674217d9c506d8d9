"""What may import what, and what is never called, read from the source with ast."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted(p for name in ("tsimage", "distill") for p in (REPOSITORY / name).rglob("*.py"))
IDS = [p.relative_to(REPOSITORY).as_posix() for p in SOURCES]
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def imported(source):
    """Top-level names of all packages that the source imports anywhere, by statement or by name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(node.args[0].value.partition(".")[0])
    return found


def unsafe(source):
    """What in the source may run code from a file: pickles, eval, exec, unsafe loaders."""
    found = sorted(imported(source) & PICKLES)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("eval", "exec", "builtins.eval", "builtins.exec", "yaml.load", "yaml.unsafe_load"):
                found.append(name)
            if name.endswith(("read_pickle", "to_pickle")):
                found.append(name)
            for keyword in node.keywords:
                value = keyword.value
                if keyword.arg == "allow_pickle" and not (isinstance(value, ast.Constant) and value.value is False):
                    found.append("allow_pickle")
                if keyword.arg == "weights_only" and not (isinstance(value, ast.Constant) and value.value is True):
                    found.append("weights_only")
    return found


def test_there_is_something_to_check():
    assert "tsimage/imager.py" in IDS
    assert "distill/train.py" in IDS


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_imports_point_one_way(path):
    names = imported(path.read_text(encoding="utf-8"))
    package = path.relative_to(REPOSITORY).parts[0]
    assert not names & ({"distill", "experiments"} if package == "tsimage" else {"experiments"})
    assert "tests" not in names


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_torchvision_has_one_door(path):
    uses = "torchvision" in imported(path.read_text(encoding="utf-8"))
    assert uses == (path == REPOSITORY / "tsimage" / "vision.py")


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_nothing_runs_code_from_a_file(path):
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from joblib import load",
        "import importlib\nimportlib.import_module('dill')",
        "eval('1')",
        "exec(text)",
        "yaml.load(file)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "torch.load(path, weights_only=False)",
        "pd.read_pickle(path)",
    ],
)
def test_the_check_sees_what_is_unsafe(source):
    assert unsafe(source)


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "np.load(path, allow_pickle=False)", "torch.load(path, weights_only=True)", "x = 'pickle'"],
)
def test_the_check_lets_pass_what_is_safe(source):
    assert not unsafe(source)


def test_the_check_sees_imports_in_every_form():
    source = "import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n    import h as i\n    importlib.import_module('j.k')"
    assert imported(source) == {"a", "c", "h", "j"}
