import json
import os
import subprocess
import sys

import pytest

import tsimage

HEAVY = {"torch", "torchvision", "pyts", "numba", "pandas", "sklearn", "matplotlib"}


def modules_after(repository, statement):
    """Names of all modules that a fresh Python holds after `statement`."""
    code = (
        "import sys, json\n"
        f"try:\n    {statement}\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(json.dumps(sorted(sys.modules)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def test_importing_tsimage_brings_nothing_heavy(repository):
    loaded = modules_after(repository, "import tsimage")
    assert "tsimage" in loaded
    assert not loaded & (HEAVY | {"numpy", "scipy", "rich", "tyro"})


def test_help_brings_neither_torch_nor_pyts_and_few_modules(repository):
    loaded = modules_after(repository, "from tsimage.cli import main; main(['--help'])")
    assert "tsimage.cli" in loaded
    assert not loaded & (HEAVY | {"pyts.image"})
    assert len(loaded) < 600  # 452 when this was written


def test_reading_basic_motions_leaves_the_slow_part_of_pyts_alone(repository):
    loaded = modules_after(repository, "import tsimage; tsimage.load('basic-motions')")
    assert "tsimage.datasets" in loaded
    assert not loaded & {"pyts.image", "numba", "torch", "matplotlib"}


@pytest.mark.parametrize("name", tsimage.__all__)
def test_every_public_name_resolves(name):
    value = getattr(tsimage, name)
    assert value.__name__ == name
    assert value.__doc__
    assert name in dir(tsimage)


def test_public_names_are_not_hidden_by_modules_of_the_same_name(repository):
    # importing a submodule sets it as an attribute of the package, over what __getattr__ would give
    modules_after(
        repository,
        "import tsimage, tsimage.imager, tsimage.conversion; assert callable(tsimage.paa); assert callable(tsimage.convert)",
    )
    modules_after(repository, "import tsimage; tsimage.Imager; assert callable(tsimage.paa)")
    modules_after(repository, "import tsimage; tsimage.convert; assert callable(tsimage.convert)")


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tsimage' has no attribute 'gafs'"):
        _ = tsimage.gafs


def test_all_is_complete_and_sorted():
    assert sorted(tsimage._HOME) == sorted(tsimage.__all__)
    assert len(set(tsimage.__all__)) == len(tsimage.__all__)
