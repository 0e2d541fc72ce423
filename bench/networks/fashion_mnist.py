# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST as tensors, from the Debian package dataset-fashion-mnist: [n, 1, 28, 28], mean 0 and deviation 1."""
import gzip
import os

import torch

FOLDER = os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist")


def read_idx(name, offset):
    with gzip.open(os.path.join(FOLDER, name)) as file:
        return torch.frombuffer(bytearray(file.read()[offset:]), dtype=torch.uint8)


def load(part):
    """part: "train" (60,000) or "t10k" (10,000); images and labels."""
    images = read_idx(f"{part}-images-idx3-ubyte.gz", 16).view(-1, 1, 28, 28).float().div(255).sub(0.286).div(0.353)
    return images, read_idx(f"{part}-labels-idx1-ubyte.gz", 8).long()
