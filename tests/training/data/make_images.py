# SPDX-License-Identifier: Apache-2.0
"""Writes the small images of tests/training and what Pillow and torchvision make of them: images.json."""
import json
import os

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T

HERE = os.path.dirname(os.path.abspath(__file__))
os.makedirs(os.path.join(HERE, "images"), exist_ok=True)
y, x = np.mgrid[0:24, 0:32]
color = np.stack([8 * x, 10 * y, (x * y) % 256], 2).astype(np.uint8)
Image.fromarray(color).save(os.path.join(HERE, "images", "color.png"))
Image.fromarray(color[..., 0]).save(os.path.join(HERE, "images", "gray.png"))
Image.fromarray(color).save(os.path.join(HERE, "images", "color.jpg"), quality=90)
Image.fromarray(color[..., 1]).save(os.path.join(HERE, "images", "gray.jpg"), quality=90)

out = {}
for name in ("color.png", "gray.png", "color.jpg", "gray.jpg"):
    pixels = np.asarray(Image.open(os.path.join(HERE, "images", name)))
    out[name] = {"shape": list(np.atleast_3d(pixels).transpose(2, 0, 1).shape),
                 "mean": float(pixels.mean()), "corner": np.atleast_3d(pixels)[3, 5].tolist()}
image = torch.from_numpy(color).permute(2, 0, 1).float() / 255
steps = {"Resize(12)": T.Resize(12, antialias=True), "CenterCrop(10)": T.CenterCrop(10), "Pad(2)": T.Pad(2),
         "Grayscale(3)": T.Grayscale(3), "Normalize(0.5 0.4 0.3,0.2 0.3 0.4)": T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])}
out["steps"] = {name: step(image).flatten().tolist()[::7] for name, step in steps.items()}
with open(os.path.join(HERE, "images.json"), "w") as file:
    json.dump(out, file)
    file.write("\n")
