"""Compares what we make of a checkpoint in one file with what diffusers' `from_single_file` makes of it, bit by bit.

    python random_checkpoint.py sd1.safetensors               # or a published file
    python single_file.py sd1.safetensors --config FOLDER     # a diffusers folder of the family: configuration and tokenizer
    python single_file.py sd1.safetensors --config FOLDER --program pseudoword

Ours is the list `tests/fixtures/checkpoint-*.json`, to which the Rust tests hold `src/checkpoint`. With `--program` the program
itself is asked, too: the identity that `pseudoword models` prints is the SHA-256 of the U-Net's file as it sees it, names, shapes
and values, and that file is made here of diffusers' tensors.
"""

import argparse
import hashlib
import json
import os
import subprocess
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore", category=FutureWarning)

import torch  # noqa: E402
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline  # noqa: E402
from safetensors import safe_open  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
TYPES = {torch.float16: "F16", torch.float32: "F32"}
BITS = {torch.float16: torch.int16, torch.float32: torch.int32}


def ours(file):
    """What each tensor of the file is: `{(part, diffusers name): (tensor name, first row, pieces, whether it is turned)}`."""
    names = set(file.keys())
    for family in ("sdxl", "sd1", "sd2", "tiny-sdxl", "tiny-sd1", "tiny-sd2"):
        entries = json.loads((FIXTURES / f"checkpoint-{family}.json").read_text())["tensors"]
        mapped = [entry for entry in entries if entry["is"]]
        if {entry["name"] for entry in mapped} <= names:
            break
    else:
        raise SystemExit("the file has not all weights of any family that is listed")
    return family, {
        (part, name): (entry["name"], row, len(entry["is"]), bool(turned))
        for entry in mapped
        for part, name, row, *turned in entry["is"]
    }


def theirs(path, config):
    is_sdxl = (config / "text_encoder_2").is_dir()
    parts = ["text_encoder", "unet", "vae"] + ["text_encoder_2"] * is_sdxl
    with safe_open(path, "pt") as file:
        dtype = file.get_tensor(next(name for name in file.keys() if name.startswith("model.diffusion_model."))).dtype
    options = {"config": str(config), "local_files_only": True, "torch_dtype": dtype}
    if is_sdxl:
        pipe = StableDiffusionXLPipeline.from_single_file(str(path), **options)
    else:
        pipe = StableDiffusionPipeline.from_single_file(str(path), safety_checker=None, **options)
    return {
        (part, name.removeprefix("text_model.")): tensor
        for part in parts
        for name, tensor in getattr(pipe, part).state_dict().items()
        if not name.endswith("position_ids")
    }


def identity(tensors):
    """SHA-256 of the U-Net's tensors as a safetensors file, in the order of their names."""
    header, end = {}, 0
    names = sorted(name for part, name in tensors if part == "unet")
    for name in names:
        tensor = tensors["unet", name]
        size = tensor.numel() * tensor.element_size()
        about = {"data_offsets": [end, end + size], "dtype": TYPES[tensor.dtype], "shape": list(tensor.shape)}
        header[name], end = about, end + size
    text = json.dumps(header, separators=(",", ":")).encode()
    digest = hashlib.sha256(len(text).to_bytes(8, "little") + text)
    for name in names:
        digest.update(tensors["unet", name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--config", type=Path, required=True, help="diffusers folder with configuration and tokenizer")
    parser.add_argument("--program", help="pseudoword, to ask for the identity of the U-Net")
    args = parser.parse_args()

    tensors = theirs(args.file, args.config)
    wrong, values = [], 0
    with safe_open(args.file, "pt") as file:
        family, places = ours(file)
        if places.keys() != tensors.keys():
            wrong.append(f"other weights: {sorted(places.keys() ^ tensors.keys())[:4]}")
        for key in places.keys() & tensors.keys():
            name, row, pieces, turned = places[key]
            whole, tensor = file.get_tensor(name), tensors[key]
            whole = whole.T if turned else whole
            mine = whole[row : row + whole.shape[0] // pieces] if pieces > 1 else whole
            values += tensor.numel()
            bits = [part.contiguous().view(BITS[part.dtype]).flatten() for part in (mine, tensor)]
            if mine.dtype != tensor.dtype or not torch.equal(*bits):
                wrong.append(f"{key[0]}/{key[1]} is not {name}")
    print(f"{args.file}: {family}, {len(tensors)} weights, {values:,} values; {len(wrong)} differ from from_single_file")
    if args.program:
        said = subprocess.run(
            [args.program, "models", "--model", args.file, "--base", args.config, "--json"], check=True, capture_output=True
        )
        models = [json.loads(line) for line in said.stdout.splitlines() if line.startswith(b"{")]
        hashes = [model["hash"] for model in models if model.get("event") == "model"]
        same = hashes[-1] == identity(tensors)
        print(f"the U-Net as pseudoword sees it ({hashes[-1][:16]}...): {'the same' if same else 'ANOTHER'} file")
        if not same:
            wrong.append("the U-Net's identity")
    for line in wrong[:20]:
        print(f"  {line}")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
