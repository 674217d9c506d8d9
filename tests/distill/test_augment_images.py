"""Erasing and mixing, with torchvision as the oracle of the arithmetic and of the distributions."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torchvision.transforms import v2

from distill.augment import Augmented, Streams, hash_ids
from distill.augment.erasing import erasing, rectangles
from distill.augment.mixing import beta_shares, cutmix, mixup, partners, unmixed

N, H, W = 24, 20, 31
IDS = hash_ids(f"w{i}" for i in range(N))
MANY = hash_ids(map(str, range(3000)))
LABELS = torch.arange(N) % 5


def streams(epoch=1, ids=IDS):
    return Streams(seed=0, epoch=epoch, ids_hash=ids)


def images(dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(1).normal(size=(N, 3, H, W))).to(dtype)


def signals():
    return images().flatten(2)


def test_erasing_equals_torchvision_with_the_same_rectangles():
    x, boxes = images(), rectangles(streams(), H, W, (0.02, 0.33), (0.3, 3.3))
    fill = torch.full((3, 1, 1), -1.0)
    expected = [v2.functional.erase(x[i], *map(int, box), v=fill) for i, box in enumerate(boxes)]
    assert torch.equal(erasing(x, streams(), value=-1.0, p=1.0), torch.stack(expected))


def test_rectangles_are_drawn_as_torchvision_draws_them():
    boxes = rectangles(streams(ids=MANY), H, W, (0.02, 0.33), (0.3, 3.3))
    assert (boxes >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= H).all()
    assert (boxes[:, 1] + boxes[:, 3] <= W).all()
    transform = v2.RandomErasing(p=1.0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        drawn = [transform.make_params([torch.zeros(3, H, W)]) for _ in range(3000)]
    theirs = np.array([[d["i"], d["j"], d["h"], d["w"]] for d in drawn])
    for ours, other in zip(boxes.T, theirs.T, strict=True):
        assert stats.ks_2samp(ours, other).pvalue > 0.01


def test_the_first_rectangle_that_fits_is_taken():
    scale, ratio = (0.5, 1.0), (0.3, 3.3)  # so large that many do not fit
    boxes = rectangles(streams(ids=MANY[:300]), H, W, scale, ratio)
    draws = streams(ids=MANY[:300]).uniform("erasing: area and ratio", 20)
    later = 0
    for box, row in zip(boxes, draws, strict=True):
        sides = (0, 0)
        for k in range(10):
            area = H * W * (scale[0] + (scale[1] - scale[0]) * row[k])
            aspect = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * row[10 + k])
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < H and w < W:
                sides, later = (h, w), later + (k > 0)
                break
        assert tuple(box[2:]) == sides
    assert later > 50


def test_an_image_without_a_fitting_rectangle_stays():
    assert not rectangles(streams(), H, W, (1.0, 1.0), (1.0, 1.0))[:, 2:].any()
    x = images()
    assert torch.equal(erasing(x, streams(), scale=(1.0, 1.0), p=1.0), x)


def test_erasing_keeps_order_layout_and_input():
    x = images()
    before, whole = x.clone(), erasing(x, streams())
    assert torch.equal(x, before)
    assert not torch.equal(whole, x)
    assert torch.equal(erasing(x, streams(), p=0.0), x)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(erasing(last, streams()), whole)
    batch = [7, 3, 20]
    assert torch.equal(erasing(x[batch], streams(ids=IDS[batch])), whole[batch])


def test_every_other_window_is_an_equally_likely_partner():
    chances = []
    for first in range(0, 120, 6):
        counts = np.zeros((6, 6))
        for epoch in range(400):
            counts[np.arange(6), partners(streams(epoch, MANY[first : first + 6]), "mixup")] += 1
        assert (np.diag(counts) == 0).all()
        chances += [stats.chisquare(np.delete(row, i)).pvalue for i, row in enumerate(counts)]
    assert stats.kstest(chances, "uniform").pvalue > 0.01  # each of 120 windows by itself
    assert min(chances) > 0.01 / len(chances)


def test_the_partner_depends_on_the_windows_of_the_batch_and_not_on_their_order():
    order = np.random.default_rng(3).permutation(N)
    partner = partners(streams(), "mixup")
    assert np.array_equal(order[partners(streams(ids=IDS[order]), "mixup")], partner[order])


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 8.0])
def test_shares_are_beta(alpha):
    shares = beta_shares(streams(ids=MANY), "mixup", alpha)
    below = shares[shares < 0.5]  # the law is symmetric, but numbers near 1 are coarser than those near 0
    assert len(below) / len(shares) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(shares)))
    assert stats.kstest(below, lambda s: 2 * stats.beta(alpha, alpha).cdf(s)).pvalue > 0.01
    np.testing.assert_array_equal(beta_shares(streams(ids=MANY[5:9]), "mixup", alpha), shares[5:9])


def pairs(mixed, x):
    """(partner, own) of each window as a batch of two, which torchvision rolls onto one another."""
    for i, partner in enumerate(mixed.partner.tolist()):
        yield i, x[[partner, i]], LABELS[[partner, i]]


def test_mixup_equals_torchvision_with_the_same_partners_and_shares():
    x, oracle = images(), v2.MixUp(num_classes=5)
    mixed = mixup(x, streams(), alpha=0.4)
    soft = mixed.soft_labels(LABELS, 5)
    np.testing.assert_array_equal(mixed.partner, partners(streams(), "mixup"))
    np.testing.assert_allclose(mixed.share, beta_shares(streams(), "mixup", 0.4), rtol=1e-6)
    for i, pair, labels in pairs(mixed, x):
        params = {"lam": mixed.share[i].item(), "labels": labels, "batch_size": 2}
        torch.testing.assert_close(mixed.values[i], oracle.transform(pair, params)[1])
        torch.testing.assert_close(soft[i], oracle.transform(labels, params)[1])


def test_cutmix_of_images_equals_torchvision_with_the_same_boxes():
    x, oracle = images(), v2.CutMix(num_classes=5)
    mixed = cutmix(x, streams())
    soft, draws, centres = (
        mixed.soft_labels(LABELS, 5),
        beta_shares(streams(), "cutmix", 1.0),
        streams().uniform("cutmix: centre", 2),
    )
    cut = 0
    for i, pair, labels in pairs(mixed, x):
        (y, x_), half = (int(centres[i, 0] * H), int(centres[i, 1] * W)), 0.5 * math.sqrt(1 - draws[i])
        box = (
            max(x_ - int(half * W), 0),
            max(y - int(half * H), 0),
            min(x_ + int(half * W), W),
            min(y + int(half * H), H),
        )
        stay = 1 - (box[2] - box[0]) * (box[3] - box[1]) / (W * H)
        cut += box[2] - box[0] < 2 * int(half * W)
        params = {"box": box, "lam_adjusted": stay, "labels": labels, "batch_size": 2}
        assert torch.equal(mixed.values[i], oracle.transform(pair, params)[1])
        torch.testing.assert_close(soft[i], oracle.transform(labels, params)[1])
    assert 0 < cut < N  # some boxes stick out


def test_cutmix_of_signals_takes_a_stretch_of_all_channels():
    x = signals()
    mixed = cutmix(x, streams())
    length = x.shape[2]
    for i, partner in enumerate(mixed.partner.tolist()):
        centre = int(streams().uniform("cutmix: centre", 1)[i, 0] * length)
        half = int(0.5 * (1 - beta_shares(streams(), "cutmix", 1.0)[i]) * length)
        expected, start, stop = x[i].clone(), max(centre - half, 0), min(centre + half, length)
        expected[:, start:stop] = x[partner, :, start:stop]
        assert torch.equal(mixed.values[i], expected)
        assert mixed.share[i].item() == pytest.approx(1 - (stop - start) / length)


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize(
    "x", [signals(), images(torch.float64), images(torch.bfloat16)], ids=["signal", "image", "half"]
)
def test_mixing_keeps_what_is_not_drawn(mix, x):
    x = x.clone()
    x[0] = torch.inf  # must not spoil a window into which it is not mixed
    whole, some, none = (mix(x, streams(), p=p) for p in (1.0, 0.5, 0.0))
    drawn = streams().uniform(f"{mix.__name__}: applied", 1)[:, 0] < 0.5
    assert 0 < drawn.sum() < N
    assert none.values is x
    for part in ("values", "partner", "share"):
        mixed, own = getattr(some, part), getattr(unmixed(x), part)
        assert torch.equal(mixed[drawn].nan_to_num(), getattr(whole, part)[drawn].nan_to_num())
        assert torch.equal(mixed[~drawn], own[~drawn])
    assert some.values.dtype == x.dtype
    assert some.share.dtype == torch.float32


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixing_does_not_depend_on_the_order_of_the_batch(mix):
    x, order = signals(), np.random.default_rng(4).permutation(N)
    one, other = mix(x, streams(), p=0.7), mix(x[order], streams(ids=IDS[order]), p=0.7)
    assert torch.equal(other.values, one.values[order])
    assert torch.equal(other.share, one.share[order])
    assert torch.equal(torch.from_numpy(order)[other.partner], one.partner[order])


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize("windows", [0, 1])
def test_a_window_alone_is_not_mixed(mix, windows):
    mixed = mix(signals()[:windows], streams(ids=IDS[:windows]))
    assert torch.equal(mixed.values, signals()[:windows])
    assert mixed.share.tolist() == [1.0] * windows
    assert mixed.partner.tolist() == [0] * windows


def test_soft_labels_give_the_loss_of_both_labels():
    mixed = mixup(signals(), streams(), alpha=1.0)
    logits = torch.randn(N, 5, generator=torch.Generator().manual_seed(0))
    own = F.cross_entropy(logits, LABELS, reduction="none")
    partner = F.cross_entropy(logits, LABELS[mixed.partner], reduction="none")
    expected = (mixed.share * own + (1 - mixed.share) * partner).mean()
    torch.testing.assert_close(F.cross_entropy(logits, mixed.soft_labels(LABELS, 5)), expected)
    torch.testing.assert_close(mixed.soft_labels(LABELS, 5).sum(1), torch.ones(N))


def test_unmixed_windows_keep_their_labels():
    plain = unmixed(signals())
    assert isinstance(plain, Augmented)
    assert torch.equal(plain.soft_labels(LABELS, 5), F.one_hot(LABELS, 5).float())
