"""pyts' own tests of its image transformers, read from the installed pyts and run against `tsimage.image`.

The source of each file of tests is rewritten in memory so that the classes come from `tsimage.image`; nothing of it is
kept here. Each of its tests is a test of this module, named `FILE__TEST[PARAMETERS]`.
"""

import ast
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import tsimage.image

FILES = {
    "test_gaf": "image/tests",
    "test_mtf": "image/tests",
    "test_recurrence": "image/tests",
    "test_image_parameter_bounds": "image/tests",
    "test_joint_rp": "multivariate/image/tests",
}
PUBLIC = {"pyts.image", "pyts.multivariate.image"}
PYTS = Path(find_spec("pyts").origin).parent

INTERNAL = "internal of pyts, not run: calls a private function of pyts, not a class"
DEVIATIONS = {
    "test_gaf__test_actual_results_gasf": INTERNAL,
    "test_gaf__test_actual_results_gadf": INTERNAL,
    "test_mtf__test_markov_transition_matrix": INTERNAL,
    "test_mtf__test_markov_transition_field": INTERNAL,
    "test_mtf__test_aggregated_markov_transition_field": INTERNAL,
    "test_recurrence__test_actual_results_trajectories": INTERNAL,
}
"""What differs from pyts, with the reason: by `FILE__TEST` where it is not run, by `FILE__TEST[PARAMETERS]` where it fails."""


def load(name, source, path):
    """Run a file of pyts' tests with our classes; return its module and the private names of pyts that it imports."""
    tree = ast.parse(source, path)
    private = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pyts":
            if node.module in PUBLIC:
                node.module = "tsimage.image"
            else:
                private |= {alias.asname or alias.name for alias in node.names}
    module = ModuleType(name)
    exec(compile(tree, path, "exec"), module.__dict__)
    return module, private


def divide(module, private):
    """Return the tests of a module of pyts, those of our classes and those of pyts' private functions."""
    ours, internal = {}, {}
    for name, test in vars(module).items():
        if name.startswith("test") and isinstance(test, FunctionType):
            (internal if private & set(test.__code__.co_names) else ours)[f"{module.__name__}__{name}"] = test
    return ours, internal


missing = [f"{folder}/{name}.py" for name, folder in FILES.items() if not (PYTS / folder / f"{name}.py").is_file()]
if missing:
    pytest.skip(f"the installed pyts lacks its own tests: {', '.join(missing)}", allow_module_level=True)

MODULES, OURS, INTERNALS = {}, {}, {}
for _name, _folder in FILES.items():
    _path = PYTS / _folder / f"{_name}.py"
    MODULES[_name], _private = load(_name, _path.read_text(encoding="utf-8"), str(_path))
    _ours, _internal = divide(MODULES[_name], _private)
    OURS |= _ours
    INTERNALS |= _internal
globals().update(OURS)


@pytest.fixture(autouse=True)
def deviation(request):
    """Want a listed deviation to fail: one that passes fails the run."""
    if request.node.name in DEVIATIONS:
        request.applymarker(pytest.mark.xfail(reason=DEVIATIONS[request.node.name], strict=True))


@pytest.fixture
def collected(request):
    """Names of all tests of pyts in this module, whatever was chosen on the command line."""
    items = request.node.getparent(pytest.Module).collect()
    return [item.name for item in items if item.originalname in OURS]


def test_the_classes_under_test_are_ours():
    classes = {
        name: value
        for module in MODULES.values()
        for name, value in vars(module).items()
        if isinstance(value, type) and not name.startswith("_")
    }
    assert set(classes) == {
        "GramianAngularField",
        "MarkovTransitionField",
        "RecurrencePlot",
        "JointRecurrencePlot",
    }
    for name, value in classes.items():
        assert value is getattr(tsimage.image, name)


def test_only_tests_of_private_functions_are_left_out():
    assert {name for name, reason in DEVIATIONS.items() if reason == INTERNAL} == set(INTERNALS)


def test_every_listed_deviation_is_a_test_of_pyts(collected):
    assert set(DEVIATIONS) <= set(collected) | set(INTERNALS)


def test_enough_of_the_suite_runs(collected):
    # pyts 0.14.1 has 135 tests of the classes: 42, 13, 54, 8 and 18.
    least = {
        "test_gaf": 35,
        "test_mtf": 11,
        "test_recurrence": 45,
        "test_image_parameter_bounds": 7,
        "test_joint_rp": 15,
    }
    assert set(least) == set(FILES)
    for name, number in least.items():
        assert sum(test.startswith(f"{name}__") for test in collected) >= number
