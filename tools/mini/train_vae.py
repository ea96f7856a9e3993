"""Trains the picture encoder and decoder: first on crops, then on whole pictures.

Every batch follows from the seed and the samples seen. Held-out objects and their near-twins never appear; all other
candidate icons do. With --decoder-only the latents stay as they are and the U-Net goes on fitting them.
"""

import argparse
import copy
import signal
import time

import numpy as np
import torch
from torch import nn

from common import COLOURS, SIDE, WORK, Progress, cosine, objects, save_atomically
from evaluate import sheet, vae_psnr
from latents import VAE, tensor
from render import compose, load

# Icons too like a held-out one to be trained on.
TWINS = ("oncoming-taxi", "snowman-without-snow", "passenger-ship")
CROP = 32


def build(widths):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        # At least four channels in a group: with two the training stalls.
        norm_num_groups=widths[0] // 4,
        sample_size=SIDE,
    )


def draw(rgba, rng, count, crop):
    """Pictures on white (40 %), a named colour (30 %) or any colour (30 %), mirrored or not, and cut where asked."""
    chosen = rgba[rng.integers(len(rgba), size=count), rng.integers(rgba.shape[1], size=count)]
    named, kind = np.array(list(COLOURS.values())), rng.random(count)
    colours = np.where(kind[:, None] < 0.7, named[rng.integers(len(named), size=count)], rng.integers(256, size=(count, 3)))
    colours[kind < 0.4] = 255
    pictures = compose(chosen, colours[:, None, None])
    mirrored = rng.random(count) < 0.5
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    if crop:
        # By multiples of the latent's grid, so that whole pictures and crops are encoded alike.
        top, left = 4 * rng.integers((SIDE - CROP) // 4 + 1, size=2)
        pictures = pictures[:, top : top + CROP, left : left + CROP]
    return tensor(pictures)


def loss_of(vae, pictures, kl_weight):
    posterior = vae.encode(pictures).latent_dist
    error = vae.decode(posterior.sample()).sample - pictures
    edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    log_variance = posterior.logvar
    kl = 0.5 * (posterior.mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return error.abs().mean() + edges + kl_weight * kl


@torch.no_grad()
def finish(vae, rgba, shown, held_out):
    """Measures the scale of the latents over all backgrounds and writes the diffusers folder with a sheet beside it."""
    rng = np.random.default_rng(0)
    means = torch.cat([vae.encode(draw(shown, rng, 32, crop=False)).latent_dist.mean for _ in range(32)])
    vae.register_to_config(scaling_factor=1 / means.std().item())
    vae.save_pretrained(VAE)
    pictures = tensor(compose(rgba[held_out], COLOURS["white"]).reshape(-1, SIDE, SIDE, 3))[:48]
    decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    both = torch.stack([pictures, decoded], 1).flatten(0, 1).permute(0, 2, 3, 1) / 2 + 0.5
    sheet(list(both.numpy()), 16).save(WORK / "vae.png")
    print(f"{VAE}: scaling factor {vae.config.scaling_factor:.4f}, sheet {WORK / 'vae.png'}")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="vae-run")
    parser.add_argument("--samples", type=int, default=190_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--kl", type=float, default=1e-3)
    parser.add_argument("--decoder-only", action="store_true", help="whole pictures, and the encoder stays")
    parser.add_argument("--start", help="a folder with an AutoencoderKL to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5, help="time between checkpoints")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    rgba, index = load()
    _, held_out = objects()
    held_out = [index[icon] for icon in held_out.values()]
    kept = sorted(set(range(len(rgba))) - set(held_out) - {index[icon] for icon in TWINS if icon in index})
    shown = rgba[kept]

    if options.start:
        from diffusers import AutoencoderKL

        vae = AutoencoderKL.from_pretrained(options.start)
    else:
        vae = build(tuple(options.widths))
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(not options.decoder_only)
    average = copy.deepcopy(vae).requires_grad_(False)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.99), weight_decay=0)
    checkpoint = WORK / options.run / "checkpoint.pt"
    seen = steps = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        vae.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen, steps = state["seen"], state["steps"]
        print(f"goes on at {seen} samples", flush=True)

    def save():
        state = {"model": vae.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        save_atomically({**state, "seen": seen, "steps": steps, "options": vars(options)}, checkpoint)

    # Asked to end, it finishes the step and saves.
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    progress, saved_at, losses = Progress(options.samples, seen), time.monotonic(), []
    while seen < options.samples and not stopping:
        rng = np.random.default_rng([options.seed, seen])
        # The noise of the posterior too follows from the samples seen.
        torch.manual_seed(int(rng.integers(2**31)))
        crop = not options.decoder_only and seen < 0.7 * options.samples
        pictures = draw(shown, rng, 16 if crop else 6, crop)
        loss = loss_of(vae, pictures, options.kl)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.param_groups[0]["lr"] = cosine(seen, options.samples, options.rate, options.rate / 100, 1600)
        optimizer.step()
        optimizer.zero_grad()
        seen, steps = seen + len(pictures), steps + 1
        decay = min(0.998, (steps + 1) / (steps + 10))
        torch._foreach_lerp_(list(average.parameters()), list(vae.parameters()), 1 - decay)
        losses.append(loss.item())
        if progress.due():
            progress.show(seen, f"loss {np.mean(losses[-200:]):.4f}")
        if time.monotonic() - saved_at > 60 * options.minutes:
            save()
            print(f"saved at {seen}: {vae_psnr(average, rgba, held_out):.2f} dB on held-out objects", flush=True)
            saved_at, losses = time.monotonic(), []
    save()
    if seen < options.samples:
        return
    print(f"{vae_psnr(average, rgba, held_out):.2f} dB on held-out objects, white")
    if options.decoder_only:
        average.save_pretrained(VAE)
    else:
        finish(average, rgba, shown, held_out)
