#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exports common networks with random weights to .pt2: the list on which structural pruners are compared.

    export_networks.py OUT_FOLDER [NAME ...]

Needs torch, torchvision, timm, transformers, torch_geometric. Batch 2; sequence and image sizes as published
(224 x 224) or the small ones given below. Weights are random: what is measured is coupling, not accuracy. All
one-dimensional and attention weights are drawn large enough that no unit is negligible.
"""
import os
import sys
import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore")


def image(side=224, batch=2):
    return (torch.randn(batch, 3, side, side),)


def tokens(vocabulary=1000, length=16):
    return (torch.randint(0, vocabulary, (2, length)),)


class BiLstm(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.emb = nn.Embedding(1000, 64)
        self.rnn = nn.LSTM(64, 64, layers, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(128, 4)

    def forward(self, x):
        return self.fc(self.rnn(self.emb(x))[0][:, -1])


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(1000, 64)
        self.rnn = nn.GRU(64, 96, 2, batch_first=True)
        self.fc = nn.Linear(96, 4)

    def forward(self, x):
        return self.fc(self.rnn(self.emb(x))[1][-1])


class TransformerEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(1000, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.enc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(64, 4)

    def forward(self, x):
        return self.fc(self.enc(self.emb(x)).mean(1))


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(16, 64)
        self.att = nn.MultiheadAttention(64, 4, batch_first=True)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        y = self.inp(x)
        return self.fc(self.att(y, y, y, need_weights=False)[0].mean(1))


class Logits(nn.Module):
    """The first tensor of a transformers output."""

    def __init__(self, model):
        super().__init__()
        self.m = model

    def forward(self, x):
        return self.m(x)[0]


class GatLinear(nn.Module):
    """GAT on a dense adjacency, with linear layers and a softmax over neighbours."""

    def __init__(self):
        super().__init__()
        self.w1, self.a1 = nn.Linear(50, 8 * 16, bias=False), nn.Parameter(torch.randn(8, 32))
        self.w2, self.a2 = nn.Linear(128, 121, bias=False), nn.Parameter(torch.randn(1, 242))

    def layer(self, x, w, a, adj, heads):
        h = w(x).view(x.shape[0], heads, -1)
        d = h.shape[-1]
        score = (h * a[:, :d]).sum(-1)[:, None] + (h * a[:, d:]).sum(-1)[None]
        score = nn.functional.leaky_relu(score, 0.2).masked_fill(adj[..., None] == 0, -1e9).softmax(1)
        return torch.einsum("ijh,jhd->ihd", score, h)

    def forward(self, x, adj):
        h = nn.functional.elu(self.layer(x, self.w1, self.a1, adj, 8).flatten(1))
        return self.layer(h, self.w2, self.a2, adj, 1).mean(1)


class EdgeConvNet(nn.Module):
    """DGCNN (classification, small point count): dynamic k-nearest-neighbour graph, EdgeConv, pooled head."""

    def __init__(self, k=8):
        super().__init__()
        self.k = k
        widths = [(6, 64), (128, 64), (128, 128), (256, 256)]
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)) for i, o in widths)
        self.conv5 = nn.Sequential(nn.Conv1d(512, 256, 1, bias=False), nn.BatchNorm1d(256), nn.LeakyReLU(0.2))
        self.head = nn.Sequential(nn.Linear(512, 128), nn.BatchNorm1d(128), nn.LeakyReLU(0.2), nn.Linear(128, 40))

    def neighbours(self, x):
        b, c, n = x.shape
        square = (x * x).sum(1, keepdim=True)
        distance = 2 * x.transpose(1, 2) @ x - square - square.transpose(1, 2)
        index = distance.topk(self.k, dim=-1)[1]
        index = (index + torch.arange(b, device=x.device).view(-1, 1, 1) * n).view(-1)
        points = x.transpose(1, 2).contiguous()
        near = points.view(b * n, c)[index].view(b, n, self.k, c)
        centre = points.view(b, n, 1, c).repeat(1, 1, self.k, 1)
        return torch.cat((near - centre, centre), 3).permute(0, 3, 1, 2)

    def forward(self, x):
        parts = []
        for conv in self.convs:
            x = conv(self.neighbours(x)).max(dim=-1)[0]
            parts.append(x)
        x = self.conv5(torch.cat(parts, 1))
        x = torch.cat((x.max(2)[0], x.mean(2)), 1)
        return self.head(x)


def torchvision_model(name):
    import torchvision
    extra = {"googlenet": dict(aux_logits=False, init_weights=False)}.get(name, {})
    return getattr(torchvision.models, name)(weights=None, **extra), image()


def timm_model(name):
    import timm
    return timm.create_model(name, pretrained=False), image()


def bert():
    from transformers import BertConfig, BertModel
    config = BertConfig(vocab_size=1000, hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=256, max_position_embeddings=64)
    return Logits(BertModel(config)), tokens()


def gpt2(layers=2, width=128, heads=4, vocabulary=1000):
    from transformers import GPT2Config, GPT2LMHeadModel
    config = GPT2Config(n_layer=layers, n_head=heads, n_embd=width, vocab_size=vocabulary, n_positions=1024 if layers > 2 else 64,
                        use_cache=False, attn_implementation="sdpa")
    return Logits(GPT2LMHeadModel(config)), tokens(vocabulary)


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM
    config = LlamaConfig(vocab_size=1000, hidden_size=128, num_hidden_layers=2, num_attention_heads=8,
                         num_key_value_heads=2, intermediate_size=256, use_cache=False)
    return Logits(LlamaForCausalLM(config)), tokens()


def hf_swin():
    from transformers import SwinConfig, SwinForImageClassification
    config = SwinConfig(image_size=64, patch_size=4, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4)
    return Logits(SwinForImageClassification(config)), image(64)


def gat_pyg():
    from torch_geometric.nn import GAT
    model = GAT(50, 16 * 8, 2, 121, heads=8)
    edges = torch.randint(0, 40, (2, 160))
    return model, (torch.randn(40, 50), edges)


NETWORKS = {
    **{n: (lambda n=n: torchvision_model(n)) for n in
       ["resnet50", "vgg19_bn", "densenet121", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "vit_b_16",
        "swin_t", "regnet_y_8gf", "googlenet", "shufflenet_v2_x1_0"]},
    "timm_sequencer2d_s": lambda: timm_model("sequencer2d_s"),
    "timm_vit": lambda: timm_model("vit_base_patch16_224"),
    "timm_efficientvit_m0": lambda: timm_model("efficientvit_m0"),
    "timm_deit": lambda: timm_model("deit_small_patch16_224"),
    "timm_mixer": lambda: timm_model("mixer_s16_224"),
    "timm_swin": lambda: timm_model("swin_tiny_patch4_window7_224"),
    "bilstm1": lambda: (BiLstm(1), tokens()),
    "bilstm2": lambda: (BiLstm(2), tokens()),
    "gru": lambda: (Gru(), tokens()),
    "transenc": lambda: (TransformerEncoder(), tokens()),
    "mha": lambda: (SelfAttention(), (torch.randn(2, 9, 16),)),
    "hf_bert": bert,
    "hf_gpt2": gpt2,
    "hf_llama_gqa": llama,
    "hf_swin": hf_swin,
    "gat_pyg": gat_pyg,
    "gat_lin": lambda: (GatLinear(), (torch.randn(40, 50), (torch.rand(40, 40) < 0.2).float())),
    "dgcnn": lambda: (EdgeConvNet(), (torch.randn(2, 3, 64),)),
    "ep_resnet18": lambda: torchvision_model("resnet18"),
}
EXTRA = {"gpt2_12": lambda: gpt2(12, 768, 12, 50257)}


def excite(model):
    """Larger, unequal weights, so that no head or unit is negligible and softmaxes are far from uniform."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1 and not p.any():  # heads that start at zero would hide every difference
                p.normal_(std=p.shape[-1] ** -0.5, generator=generator)
            if p.dim() <= 1:
                p.add_(0.1 * torch.randn(p.shape, generator=generator))
            elif any(key in name for key in ("query", "key", "q_proj", "k_proj", "in_proj", "qkv", "c_attn")):
                p.mul_(3)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.add_(0.1 * torch.randn(b.shape, generator=generator))


def main():
    out, names = sys.argv[1], sys.argv[2:]
    os.makedirs(out, exist_ok=True)
    for name in names or list(NETWORKS):
        path = os.path.join(out, name + ".pt2")
        if os.path.exists(path):
            continue
        try:
            torch.manual_seed(0)
            model, inputs = {**NETWORKS, **EXTRA}[name]()
            excite(model.eval())
            torch.export.save(torch.export.export(model, inputs), path)
            print("exported", name, flush=True)
        except Exception as error:  # the list must go on; the failure is printed and the file stays missing
            print("FAILED", name, repr(error)[:300], flush=True)
    if not names or "ts_resnet18" in names:
        import torchvision
        torch.jit.save(torch.jit.script(torchvision.models.resnet18().eval()), os.path.join(out, "ts_resnet18.pt"))


if __name__ == "__main__":
    main()
