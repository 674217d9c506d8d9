import pytest


@pytest.fixture
def csv(tmp_path):
    """Write a csv of the given header and rows; return its path."""

    def _write(header, *rows, name="a.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return _write
