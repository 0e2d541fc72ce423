# SPDX-License-Identifier: Apache-2.0
"""Sequencer2D (Tatsunami and Taki 2022) with timm's keys for 28 x 28 images: two stages of bidirectional LSTMs that run
along rows and columns, widths 48 and 96, 12 and 24 hidden units a direction."""
import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class LSTM2d(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.rnn_v = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.rnn_h = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(4 * hidden, width)

    def forward(self, x):
        b, h, w, c = x.shape
        v, _ = self.rnn_v(x.permute(0, 2, 1, 3).reshape(-1, h, c))
        v = v.reshape(b, w, h, -1).permute(0, 2, 1, 3)
        y, _ = self.rnn_h(x.reshape(-1, w, c))
        return self.fc(torch.cat([v, y.reshape(b, h, w, -1)], -1))


class Block(nn.Module):
    def __init__(self, width, hidden, ratio):
        super().__init__()
        self.norm1, self.rnn_tokens = nn.LayerNorm(width, 1e-6), LSTM2d(width, hidden)
        self.norm2, self.mlp_channels = nn.LayerNorm(width, 1e-6), Mlp(width, ratio * width)

    def forward(self, x):
        x = x + self.rnn_tokens(self.norm1(x))
        return x + self.mlp_channels(self.norm2(x))


class Downsample(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 2, 2)

    def forward(self, x):
        return self.down(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Stage(nn.Module):
    def __init__(self, inputs, width, hidden, depth, ratio):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, hidden, ratio) for _ in range(depth)))
        self.downsample = Downsample(inputs, width) if inputs else nn.Identity()

    def forward(self, x):
        return self.blocks(self.downsample(x))


class Stem(nn.Module):
    def __init__(self, patch, width):
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, patch)

    def forward(self, x):
        return self.proj(x).permute(0, 2, 3, 1)


class SequencerTiny(nn.Module):
    def __init__(self, widths=(48, 96), hidden=(12, 24), depths=(2, 2), ratio=3, patch=4, classes=10):
        super().__init__()
        self.stem, inputs = Stem(patch, widths[0]), None
        self.stages = nn.Sequential()
        for width, units, depth in zip(widths, hidden, depths):
            self.stages.append(Stage(inputs, width, units, depth, ratio))
            inputs = width
        self.norm, self.head = nn.LayerNorm(inputs, 1e-6), nn.Sequential()
        self.head.add_module("fc", nn.Linear(inputs, classes))

    def forward(self, x):
        return self.head(self.norm(self.stages(self.stem(x))).mean((1, 2)))
