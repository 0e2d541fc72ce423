# SPDX-License-Identifier: Apache-2.0
"""JapaneseVowels (Kudo, Toyama and Shimbo 1999), the equal-length form, read from the wheel of the PyPI package aeon:
270 training and 370 test utterances, [n, 29, 12] at most, normalised by the training set's mean and deviation."""
import os
import zipfile

import torch

WHEEL = os.environ.get("AEON_WHEEL", "aeon.whl")


def read(part):
    with zipfile.ZipFile(WHEEL) as wheel:
        name = f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_eq_{part}.ts"
        text = wheel.read(name).decode().split("@data", 1)[1]
    series, labels = [], []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        *channels, label = line.split(":")
        series.append([[float(x) for x in channel.split(",")] for channel in channels])
        labels.append(int(label) - 1)
    return torch.tensor(series).transpose(1, 2).contiguous(), torch.tensor(labels)


def load(part):
    """part: "train" or "test"; series [n, time, 12] and labels."""
    x, y = read(part.upper())
    train = x if part == "train" else read("TRAIN")[0]
    return (x - train.mean((0, 1))) / train.std((0, 1)), y
