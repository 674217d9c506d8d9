import numpy as np
import pytest


@pytest.fixture
def people(make_windows):
    """30 windows of 5 people in 3 classes, 2 channels of 20 samples."""
    return make_windows(30, subjects=np.repeat(["ann", "bob", "cem", "dia", "eva/2"], 6), split=None)
