# SPDX-License-Identifier: Apache-2.0
"""A two-layer LSTM over the 12 cepstral coefficients of a vowel; the mean of its outputs names the speaker (9 classes)."""
from torch import nn


class LSTMVowels(nn.Module):
    def __init__(self, features=12, hidden=64, layers=2, classes=9):
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, layers, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.fc(self.lstm(x)[0].mean(1))
