import pytest
import torch

from distill.losses.totals import total_of, total_of_sums


def test_scalars_take_the_mean_weight_and_windows_their_own():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    by_window = total_of("x", [torch.tensor([1.0, 2.0]), torch.tensor([4.0, 8.0])], weights)
    assert by_window["x"].item() == (1 + 8) / 2
    together = total_of("x", [torch.tensor(1.5), torch.tensor(6.0)], weights)
    assert together["x"].item() == 3.75
    assert together["x_1"].item() == 6.0


def test_axes_after_the_window_are_summed():
    wide = torch.arange(6.0).reshape(2, 3)
    assert total_of("x", [wide], torch.ones(1))["x"].item() == 7.5
    assert total_of("x", [wide], torch.ones(1, 2))["x"].item() == 7.5
    assert total_of("x", [wide], torch.tensor([[2.0, 0.0]]))["x"].item() == 3.0


def test_weights_take_the_type_of_the_loss():
    assert total_of("x", [torch.ones(2)], torch.ones(1, dtype=torch.float64))["x"].dtype == torch.float32


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 2), (2, 2, 2), ()])
def test_weights_are_one_for_each_teacher(shape, says):
    with says(f"weights of shape {shape} do not fit 2 teachers: give (teacher,) or (teacher, window)"):
        total_of("x", [torch.ones(2), torch.ones(2)], torch.ones(shape))


def test_weights_by_window_are_one_for_each_window(says):
    with says("weights of 3 windows do not fit a batch of 2: give one for each"):
        total_of("x", [torch.ones(2)], torch.ones(1, 3))


def test_a_sum_has_a_part_of_each_teacher_and_of_each_term():
    terms = {
        "a": (2.0, [torch.tensor([1.0]), torch.tensor([3.0])]),
        "b": (10.0, [torch.tensor(1.0), torch.tensor(0.0)]),
    }
    parts = total_of_sums("s", terms, torch.tensor([0.25, 0.75]))
    assert {name: part.item() for name, part in parts.items()} == {
        "s": 2 * 2.5 + 10 * 0.25,
        "s_0": 12.0,
        "s_1": 6.0,
        "a_0": 1.0,
        "a_1": 3.0,
        "b_0": 1.0,
        "b_1": 0.0,
    }
