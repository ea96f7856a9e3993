"""Prints what a model folder reaches: the VAE on pictures it never saw, and what prompts bring back of the trained pictures.

Every picture asked for is compared with all trained objects in all styles on the prompted background, and mirrored, both
averaged down to 16x16: the nearest one should be the object and the style of the prompt.
"""

import argparse
import collections
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import captions
from common import COLOURS, HALF, SIDE, STYLES, WORK, Progress, objects, write_json
from latents import tensor
from render import compose, load

POOLED = 16


def pool(pictures):
    """Pictures (..., side, side, 3) averaged down to 16x16, as vectors."""
    side = pictures.shape[-2] // POOLED
    shape = (*pictures.shape[:-3], POOLED, side, POOLED, side, 3)
    return pictures.reshape(shape).mean((-2, -4)).reshape(*pictures.shape[:-3], -1)


def references(rgba, icons):
    """The pooled pictures by colour: (object, style, mirrored, 768)."""
    found = {}
    for colour, value in COLOURS.items():
        composed = compose(rgba[icons], value)
        found[colour] = pool(np.stack([composed, composed[..., ::-1, :]], 2))
    return found


def ranks(picture, near):
    """For one picture: the rank of every object by its least distance, and the nearest style of the nearest object."""
    distances = np.square(near - pool(picture)).sum(-1).min(2)
    order = np.argsort(distances.min(1), kind="stable")
    return order, distances[order[0]].argmin()


def corner_colour(picture):
    """The colour word nearest to the (lower) median of the four pixels one in from the corners."""
    found = np.sort(picture[[1, 1, -2, -2], [1, -2, 1, -2]], axis=0)[1] * 255
    return min(COLOURS, key=lambda name: np.square(found - COLOURS[name]).sum())


@torch.no_grad()
def vae_psnr(vae, rgba, icons):
    """Mean PSNR on white, of the posterior mean's decoding."""
    pictures = compose(rgba[icons], COLOURS["white"]).reshape(-1, SIDE, SIDE, 3)
    decoded = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in tensor(pictures).split(16)])
    error = ((decoded.clamp(-1, 1) - tensor(pictures)) / 2).square().mean((1, 2, 3))
    return (-10 * error.log10()).mean().item()


def sheet(pictures, columns):
    """Pictures in rows, as one."""
    rows = -(-len(pictures) // columns)
    page = np.ones((rows * columns, *pictures[0].shape), np.float32)
    page[: len(pictures)] = pictures
    side = pictures[0].shape[0]
    page = page.reshape(rows, columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray((page.reshape(rows * side, columns * side, 3) * 255).round().astype(np.uint8))


def pipeline(folder):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    made = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    made.scheduler = DDIMScheduler.from_config(made.scheduler.config)
    made.set_progress_bar_config(disable=True)
    return made


def generate(pipe, prompts, guidance, steps, seed, batch=25):
    progress = Progress(len(prompts))
    made = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        noises = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        made += list(
            pipe(part, guidance_scale=guidance, num_inference_steps=steps, height=SIDE, width=SIDE, generator=noises, output_type="np").images
        )
        if progress.due():
            progress.show(len(made), "pictures")
    return made


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=HALF, help="a folder that diffusers opens (default: tests/fixtures/mini-f16)")
    parser.add_argument("--prompts", type=int, default=384)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default=str(WORK / "evaluation"), help="where .json and .png go")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)

    rgba, index = load()
    trained, held_out = objects()
    pipe = pipeline(options.model)
    kinds = {"trained": trained, "held out": held_out}
    psnr = {kind: vae_psnr(pipe.vae, rgba, [index[icon] for icon in chosen.values()]) for kind, chosen in kinds.items()}
    print("VAE PSNR " + ", ".join(f"{value:.2f} dB ({kind} objects)" for kind, value in psnr.items()), flush=True)

    rng = np.random.default_rng(options.seed)
    names, styles, colours = list(trained), list(STYLES), list(COLOURS)
    asked = [[rng.integers(len(kind)) for kind in (names, styles, colours)] for _ in range(options.prompts)]
    prompts = [captions.prompt(names[thing], styles[style], colours[colour]) for thing, style, colour in asked]
    pictures = generate(pipe, prompts, options.guidance, options.steps, options.seed)
    near = references(rgba, [index[icon] for icon in trained.values()])

    top1 = top5 = background = 0
    table = np.zeros((len(styles), len(styles)), int)
    mistaken = collections.Counter()
    for (thing, style, colour), picture in zip(asked, pictures):
        order, found_style = ranks(picture, near[colours[colour]])
        top5 += thing in order[:5]
        background += corner_colour(picture) == colours[colour]
        if order[0] == thing:
            top1 += 1
            table[style, found_style] += 1
        else:
            mistaken[f"{names[thing]} -> {names[order[0]]}"] += 1
    share = lambda part, whole=options.prompts: 100 * part / max(1, whole)
    figures = {
        "model": str(options.model),
        "prompts": options.prompts,
        "guidance": options.guidance,
        "steps": options.steps,
        "seed": options.seed,
        "vae psnr": {kind: round(value, 2) for kind, value in psnr.items()},
        "object top-1": round(share(top1), 1),
        "object top-5": round(share(top5), 1),
        "background": round(share(background), 1),
        "style given object": round(share(np.trace(table), top1), 1),
        "style asked to found": {style: dict(zip(styles, map(int, row))) for style, row in zip(styles, table)},
        "mistaken": dict(mistaken.most_common()),
        "time": time.strftime("%Y-%m-%d %H:%M"),
    }
    print(json.dumps(figures, indent=1))
    write_json(Path(f"{options.out}.json"), figures)
    sheet(pictures[:96], 16).save(f"{options.out}.png")
