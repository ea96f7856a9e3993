"""Writes the model folder: diffusers layout, f16, with card, attribution, manifest and sample sheet.

    python tools/mini export --out FOLDER     from the average of the run's newest checkpoint
    python tools/mini evaluate --model FOLDER --out FOLDER/evaluation
    python tools/mini export --out FOLDER     again: now card and manifest hold the figures

What the program carries is made of it by `pack`.
"""

import argparse
import json
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from string import Template

import torch

import captions
from common import COLOURS, HERE, STYLES, WORK, fail, objects, write_json
from evaluate import generate, pipeline, sheet
from latents import VAE
from pack import listed
from train_unet import build
from words import MERGES, TOKENIZER

STARTED_FROM = "the draft checkpoint of this project (its README: 18,296 VAE steps, 190 k U-Net samples, the same four picture sets)"
SHOWN = ("apple", "tiger", "octopus", "rocket", "guitar", "sunflower", "penguin", "umbrella", "hamburger", "bus", "owl", "cactus")
SHOWN_COLOURS = ("white", "blue", "yellow", "pink")
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.42.1",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
PARTS = {
    "scheduler": ("diffusers", "DDIMScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "feature_extractor": (None, None),
    "safety_checker": (None, None),
}


def write_weights(out, model, prediction):
    """The three modules in f16 and the files around them."""
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file, save_file

    model["unet"].half().save_pretrained(out / "unet")
    AutoencoderKL.from_pretrained(VAE).half().save_pretrained(out / "vae")
    model["text"].half().save_pretrained(out / "text_encoder")
    # Stable Diffusion's files name the text encoder's tensors with a prefix that transformers 5 leaves out.
    path = out / "text_encoder" / "model.safetensors"
    tensors = {("" if key.startswith("text_model.") else "text_model.") + key: value for key, value in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)
    shutil.copytree(TOKENIZER, out / "tokenizer", dirs_exist_ok=True)
    write_json(out / "scheduler" / "scheduler_config.json", SCHEDULER | {"prediction_type": prediction})
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "requires_safety_checker": False}
    write_json(out / "model_index.json", index | {part: list(source) for part, source in PARTS.items()})


def manifest(out, run, state, figures):
    """All that decided these weights, and what they reach."""
    trained, held_out = objects()
    runs = [WORK / state["options"]["cool"]] if state["options"].get("cool") else []
    logs = [folder / "log.jsonl" for folder in (*runs, run)]
    return {
        "made": time.strftime("%Y-%m-%d"),
        "pictures": {style: dict(zip(("package", "version", "integrity"), source)) for style, source in STYLES.items()},
        "merges": dict(zip(("package", "version", "sha256 of bpe_simple_vocab_16e6.txt.gz"), MERGES)),
        "libraries": {name: version(name) for name in ("torch", "diffusers", "transformers", "resvg-py")},
        "started from": STARTED_FROM if state["options"].get("start") else None,
        "training": {**state["options"], "start": None, "samples seen": state["seen"], "steps": state["steps"]},
        "history": [json.loads(line) for log in logs if log.exists() for line in log.read_text().splitlines()],
        "figures": figures,
        "objects": trained,
        "held out objects": held_out,
        "held out styles": {"noto-v1": "@iconify-json/noto-v1 1.2.5", "fxemoji": "@iconify-json/fxemoji 1.2.2"},
        "files": listed(out),
    }


def card(figures, state):
    """README.md: what it is, what it knows, where it comes from, what it cannot do."""
    trained, held_out = objects()
    style = figures.get("style asked to found", {})
    return Template((HERE / "card.md").read_text()).substitute(
        count=len(trained),
        objects=", ".join(trained),
        held_out=", ".join(held_out),
        styles=", ".join(STYLES),
        colours=", ".join(COLOURS),
        samples=f"{state['seen']:,}",
        steps=f"{state['steps']:,}",
        psnr_trained=figures.get("vae psnr", {}).get("trained", "?"),
        psnr_held_out=figures.get("vae psnr", {}).get("held out", "?"),
        prompts=figures.get("prompts", "?"),
        guidance=figures.get("guidance", "?"),
        top1=figures.get("object top-1", "?"),
        top5=figures.get("object top-5", "?"),
        background=figures.get("background", "?"),
        style=figures.get("style given object", "?"),
        confusion="\n".join(f"| {name} | " + " | ".join(map(str, row.values())) + " |" for name, row in style.items()),
    )


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="unet", help="name of the run under MINI_WORK")
    parser.add_argument("--out", default=str(WORK / "export"), help="the folder to write")
    parser.add_argument("--no-samples", action="store_true", help="leave samples.png as it is")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    out, run = Path(options.out), WORK / options.run
    if not (run / "checkpoint.pt").exists():
        fail(f"{run} holds no checkpoint: run `train_unet` first")

    state = torch.load(run / "checkpoint.pt", weights_only=False)
    tokens = json.loads((TOKENIZER / "vocab.json").read_text())
    model = build(len(tokens), state["options"]["text_depth"], state["options"]["attention_at_16"])
    model.load_state_dict(state["average"])
    out.mkdir(parents=True, exist_ok=True)
    write_weights(out, model, state["options"]["prediction"])

    trained, held_out = objects()
    (out / "objects.txt").write_text("".join(f"{name}\n" for name in trained) + "".join(f"{name} [held out]\n" for name in held_out))
    shutil.copy(HERE / "attribution.md", out / "ATTRIBUTION.md")
    if not options.no_samples:
        asked = [captions.prompt(name, style, colour) for style, colour in zip(STYLES, SHOWN_COLOURS) for name in SHOWN]
        sheet(generate(pipeline(out), asked, 4.0, 25, 0), len(SHOWN)).save(out / "samples.png", optimize=True)
    evaluated = out / "evaluation.json"
    figures = json.loads(evaluated.read_text()) if evaluated.exists() else {}
    (out / "README.md").write_text(card(figures, state))
    write_json(out / "manifest.json", manifest(out, run, state, figures))
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB, {state['seen']} samples")
