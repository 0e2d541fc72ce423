# SPDX-License-Identifier: Apache-2.0
"""Two graph attention layers (Velickovic et al., ICLR 2018) over small graphs given as dense adjacency, so that graphs make
batches; and graphs of a stochastic block model to train them on."""
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, inputs, heads, width):
        super().__init__()
        self.heads = heads
        self.fc = nn.Linear(inputs, heads * width, bias=False)
        self.source = nn.Parameter(torch.randn(heads, width) * 0.3)
        self.target = nn.Parameter(torch.randn(heads, width) * 0.3)
        self.bias = nn.Parameter(torch.zeros(heads * width))

    def forward(self, x, adjacency):
        h = self.fc(x).view(x.shape[0], x.shape[1], self.heads, -1)
        score = (h * self.source).sum(-1).unsqueeze(2) + (h * self.target).sum(-1).unsqueeze(1)
        score = nn.functional.leaky_relu(score, 0.2).masked_fill(adjacency.unsqueeze(-1) == 0, -1e9)
        mixed = torch.einsum("bijh,bjhd->bihd", score.softmax(2), h)
        return mixed.flatten(2) + self.bias


class GAT(nn.Module):
    def __init__(self, features=8, heads=4, width=16, classes=4):
        super().__init__()
        self.first = Layer(features, heads, width)
        self.second = Layer(heads * width, heads, width)
        self.fc = nn.Linear(heads * width, classes)

    def forward(self, x, adjacency):
        x = nn.functional.elu(self.first(x, adjacency))
        return self.fc(nn.functional.elu(self.second(x, adjacency))[:, 0])


def load(part, count=2000, nodes=24, blocks=4):
    """Graphs of four blocks, edges within a block with probability 0.4 and 0.05 between; half of the nodes show their block,
    in noise. The class is the block of node 0, which shows nothing: its neighbours, and theirs, tell."""
    generator = torch.Generator().manual_seed(0 if part == "train" else 1)
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    block = torch.randint(blocks, (count, nodes), generator=generator)
    same = block.unsqueeze(1) == block.unsqueeze(2)
    upper = (draw(count, nodes, nodes) < torch.where(same, 0.4, 0.05)).triu(1)
    adjacency = (upper | upper.transpose(1, 2) | torch.eye(nodes, dtype=torch.bool)).float()
    shown = draw(count, nodes) < 0.5
    shown[:, 0] = False
    x = nn.functional.one_hot(block, 8).float() * shown.unsqueeze(-1)
    return {"x": x + 0.3 * torch.randn(x.shape, generator=generator), "adjacency": adjacency}, block[:, 0]
