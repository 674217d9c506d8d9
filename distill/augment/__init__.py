"""Augmentation of sensor windows and their images, drawn from (seed, epoch, window id)."""

from distill.augment.augmenter import Augmenter
from distill.augment.mixing import Augmented
from distill.augment.options import Option
from distill.augment.recipe import Recipe, Step, parse_augment
from distill.augment.registry import AUGMENTATIONS, Augmentation
from distill.augment.streams import Streams, hash_ids

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Augmented",
    "Augmenter",
    "Option",
    "Recipe",
    "Step",
    "Streams",
    "hash_ids",
    "parse_augment",
]
