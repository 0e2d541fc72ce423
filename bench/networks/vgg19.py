# SPDX-License-Identifier: Apache-2.0
"""VGG-19 (Simonyan and Zisserman 2015, configuration E) with batch norm for 28 x 28 images: sixteen 3 x 3 convolutions, four
poolings, one linear layer."""
from torch import nn

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)  # 0: a pooling


class VGG19(nn.Module):
    def __init__(self, widths=WIDTHS, classes=10):
        super().__init__()
        layers, inputs = [], 1
        for width in widths:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(inputs, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(inputs, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))
