"""Augmentations that would change nothing are refused, and those that change something are not."""

import math

import pytest

import distill
from distill.augment import Streams, hash_ids, parse_augment
from distill.augment.effect import check_effect, smallest_share
from distill.augment.erasing import rectangles
from tests.distill.tiny_runs import QUICK
from tsimage.errors import UserError


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 20, 99, 128, 500, 5000, 123_457])
def test_the_smallest_share_moves_a_sample_and_one_digit_less_does_not(samples):
    share = smallest_share(samples)
    assert round(share * samples) == 1
    digit = 10.0 ** (math.floor(math.log10(share)) - 1)
    assert round((share - digit) * samples) == 0


@pytest.mark.parametrize(
    ("recipe", "samples", "rate_hz", "sentence"),
    [
        ("jitter+shift(share=0.003)", 128, 50.0, "augmentation shift(share=0.003) moves nothing, as 0.003 of a window of 128 samples "
         "at 50 Hz is no more than half a sample: give a share of at least 0.004, or leave it out"),
        ("shift(share=0.05)", 10, None, "augmentation shift(share=0.05) moves nothing, as 0.05 of a window of 10 samples is no more "
         "than half a sample: give a share of at least 0.051, or leave it out"),
        ("shift", 1, 2.0, "augmentation shift moves nothing, as 0.1 of a window of 1 sample at 2 Hz is no more than half a sample: "
         "leave it out"),
        ("time_warp", 2, 0.5, "augmentation time_warp changes nothing in windows of 2 samples at 0.5 Hz: leave it out"),
        ("permutation", 1, None, "augmentation permutation changes nothing in windows of 1 sample: leave it out"),
    ],
)  # fmt: skip
def test_windows_that_would_not_change(says, recipe, samples, rate_hz, sentence):
    with says(sentence):
        check_effect(parse_augment(recipe), samples, rate_hz, 32)


@pytest.mark.parametrize(
    ("recipe", "size", "sentence"),
    [
        ("erasing(scale=0.001:0.002)", 8, "augmentation erasing(scale=0.001:0.002) erases nothing of images of 8 x 8 pixels, as its "
         "rectangles have less than a pixel: give a scale that reaches above 0.0039"),
        ("erasing(scale=1:1)", 32, "augmentation erasing(scale=1:1) erases nothing of images of 32 x 32 pixels, as its rectangles are "
         "as large as the image: give a scale that begins below 0.97"),
        ("erasing(ratio=90:100)", 32, "augmentation erasing(ratio=90:100) erases nothing of images of 32 x 32 pixels, as no rectangle "
         "of so uneven sides fits: give a ratio that is nearer to 1, or leave it out"),
    ],
)  # fmt: skip
def test_images_that_would_not_change(says, recipe, size, sentence):
    with says(sentence):
        check_effect(parse_augment(recipe), 128, None, size)


def test_erasing_is_refused_where_no_rectangle_is_ever_drawn_and_only_there():
    streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(map(str, range(400))))
    refused = 0
    for size in (2, 5, 16):
        for low, high in ((0.001, 0.002), (0.01, 0.02), (0.02, 0.33), (0.5, 0.7), (0.9, 0.95), (1.0, 1.0)):
            for ratio in ((0.3, 3.3), (1.0, 1.0), (2.0, 4.0), (0.1, 0.2), (60.0, 90.0)):
                drawn = rectangles(streams, size, size, (low, high), ratio)[:, 2:].all(axis=1).any()
                recipe = parse_augment(f"erasing(scale={low}:{high},ratio={ratio[0]}:{ratio[1]})")
                try:
                    check_effect(recipe, 128, None, size)
                except UserError:
                    refused += 1
                    assert not drawn, (size, low, high, ratio)
                else:
                    assert drawn, (size, low, high, ratio)
    assert 20 < refused < 70


def test_a_run_whose_augmentation_does_nothing_is_refused_before_it_begins(people, tmp_path, says):
    nothing = "augmentation shift(share=0.01) moves nothing, as 0.01 of a window of 20 samples"
    mend = "is no more than half a sample: give a share of at least 0.026, or leave it out"
    with says(f"{nothing} at 50 Hz {mend}"):
        distill.run(distill.Run(**QUICK, augment="shift(share=0.01)"), windows=people, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    student = distill.DistilledClassifier(teacher="wrn10-1", student="wrn10-1", augment="shift(share=0.01)", epochs=1)
    with says(f"{nothing} {mend}"):
        student.fit(people.values, people.labels)
