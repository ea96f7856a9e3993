"""Writes the model that the program carries: trained weights in f16, brought into eight bits by `pseudoword` itself.

    python tools/mini pack                                   # tests/fixtures/mini-f16 -> models/mini
    python tools/mini pack --model ~/mini-work/export        # of a new model: its copy in f16 and what stands beside the weights, too

The same weights give the same files, byte for byte.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from common import HALF, MODEL, fail, write_json

# What a program needs of the folder.
FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
# In a folder whose weights are in eight bits, this says so.
NOTE = "pseudoword.json"
# Other programs read it, ours does not.
ASIDE = ("tokenizer/tokenizer_config.json",)
BESIDE = ("README.md", "ATTRIBUTION.md", "manifest.json", "objects.txt", "samples.png", "evaluation.json", "evaluation.png")


def listed(folder):
    """What a program needs of it, with lengths and hashes: the page fetches by this list."""
    paths = sorted((*FILES, NOTE) if (folder / NOTE).exists() else FILES)
    content = ((path, (folder / path).read_bytes()) for path in paths)
    return [{"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in content]


def copy(paths, source, target):
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HALF, help="the folder in f16, as `export` writes it")
    parser.add_argument("--out", type=Path, default=MODEL, help="the folder in eight bits")
    parser.add_argument("--half", type=Path, default=HALF, help="where the copy in f16 goes")
    parser.add_argument("--program", default=os.environ.get("PSEUDOWORD", "pseudoword"), help="default: $PSEUDOWORD, or pseudoword on the path")
    options = parser.parse_args(arguments)
    if (options.model / NOTE).exists():
        fail(f"{options.model} is in eight bits already: what they are made of is needed")

    if options.model.resolve() != options.half.resolve():
        copy((*FILES, *ASIDE), options.model, options.half)
        copy([path for path in BESIDE if (options.model / path).exists()], options.model, options.out)
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "q8"
        done = subprocess.run([options.program, "models", "convert", options.half, made, "--weights", "q8"])
        if done.returncode:
            fail(f"{options.program} ended with {done.returncode}")
        copy((*FILES, *ASIDE, NOTE), made, options.out)
    manifest = options.out / "manifest.json"
    if manifest.exists():
        write_json(manifest, json.loads(manifest.read_text()) | {"files": listed(options.out)})
