import pytest

from tsimage.triples import find_triples


@pytest.mark.parametrize(
    ("channels", "found"),
    [
        (["x", "y", "z"], {"": (0, 1, 2)}),
        (["ACC_Z", "acc-x", "Acc y"], {"acc": (1, 2, 0)}),
        (["hand-acc16-x", "hand-acc16-y", "hand-acc16-z", "t"], {"hand-acc16": (0, 1, 2)}),
        (["ax", "gx", "ay", "gy", "az", "gz"], {"a": (0, 2, 4), "g": (1, 3, 5)}),
        (["acc-x", "acc-y", "gyro-z"], {}),
        (["channel0", "channel1", "channel2"], {}),
        (["q_x", "q_y", "q_z", "q_w"], {}),
        ([], {}),
    ],
)
def test_triples_share_a_stem(channels, found):
    assert find_triples(channels) == found
