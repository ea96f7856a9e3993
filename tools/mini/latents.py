"""Encodes every trained object in every style, colour and mirroring once, so that the U-Net's training need not.

Leaves latents.npy (object, style, colour, mirrored, 4, 16, 16), f16, posterior means times the scaling factor.
"""

import numpy as np
import torch

from common import COLOURS, WORK, Progress, objects
from render import compose, load

LATENTS = WORK / "latents.npy"
VAE = WORK / "vae"


def tensor(pictures):
    """Pictures (n, side, side, 3) in 0..1 as the VAE takes them."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2) * 2 - 1


def variants(rgba):
    """One object (style, side, side, 4) over all colours, as is and mirrored: (style, colour, mirrored, side, side, 3)."""
    composed = np.stack([compose(rgba, colour) for colour in COLOURS.values()], 1)
    return np.stack([composed, composed[..., ::-1, :]], 2)


@torch.no_grad()
def main(_arguments):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(VAE).eval()
    rgba, index = load()
    trained, _ = objects()
    found = []
    progress = Progress(len(trained))
    for name, icon in trained.items():
        pictures = variants(rgba[index[icon]])
        shape = pictures.shape[:3]
        means = [vae.encode(part).latent_dist.mean for part in tensor(pictures.reshape(-1, *pictures.shape[3:])).split(24)]
        scaled = torch.cat(means) * vae.config.scaling_factor
        found.append(scaled.reshape(*shape, *scaled.shape[1:]).half().numpy())
        if progress.due():
            progress.show(len(found), "objects")
    latents = np.stack(found)
    np.save(LATENTS, latents)
    flat = latents.astype(np.float32)
    print(f"{LATENTS} {latents.shape}, std {flat.std():.3f}, channel means {flat.mean((0, 1, 2, 3, 5, 6)).round(2)}")
