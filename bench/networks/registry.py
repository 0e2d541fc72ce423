# SPDX-License-Identifier: Apache-2.0
"""The networks that docs/repair.md measures: how to build each, its data, and how it is trained."""
from dataclasses import dataclass
from typing import Callable

import fashion_mnist
import japanese_vowels
from lstm_vowels import LSTMVowels
from resnet20 import ResNet20
from sequencer_tiny import SequencerTiny
from vgg19 import VGG19
from vit_tiny import ViTTiny


@dataclass
class Network:
    build: Callable
    load: Callable  # "train" or "test" -> inputs, labels
    epochs: int
    rate: float
    optimiser: str
    batch: int = 128
    flip: bool = True
    noise: float = 0.0  # deviation of what is added to the inputs in training
    bf16: bool = True  # arithmetic in training, where the CPU multiplies it natively


def images(part):
    return fashion_mnist.load("train" if part == "train" else "t10k")


NETWORKS = {
    "resnet20": Network(ResNet20, images, 12, 0.2, "sgd"),
    "resnet56": Network(lambda: ResNet20(blocks=9), images, 12, 0.2, "sgd"),
    "vgg19": Network(VGG19, images, 12, 0.1, "sgd"),
    "vit": Network(ViTTiny, images, 4, 3e-3, "adamw", bf16=False),
    "sequencer": Network(SequencerTiny, images, 5, 4e-3, "adamw"),
    "lstm": Network(LSTMVowels, japanese_vowels.load, 80, 1e-2, "adamw", 32, flip=False, noise=1.0, bf16=False),
}
