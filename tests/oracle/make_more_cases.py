#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Constructs met in published networks after tests/cases was first filled: writes them there as .pt2.

    make_more_cases.py OUT_FOLDER
"""
import os
import sys

import torch
from torch import nn


class StandardisedConv(nn.Conv2d):
    """Weights standardised per output channel by a batch norm without running statistics (normaliser-free networks)."""

    def __init__(self, *args):
        super().__init__(*args)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x):
        weight = nn.functional.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None,
                                          weight=self.gain.view(-1), training=True, momentum=0.0)
        return self._conv_forward(x, weight.reshape_as(self.weight), self.bias)


CASES = {
    "weight_standardised": (nn.Sequential(StandardisedConv(3, 8, 3), nn.ReLU(), StandardisedConv(8, 12, 3), nn.ReLU(),
                                          nn.Flatten(), nn.Linear(12 * 16, 5)), (torch.randn(2, 3, 8, 8),)),
}

for name, (model, inputs) in CASES.items():
    torch.export.save(torch.export.export(model.eval(), inputs), os.path.join(sys.argv[1], name + ".pt2"))
