"""Writes a model folder whose weights are in eight bits (docs/Q8.md) as one in f32, which diffusers and transformers open.

    pseudoword models convert SD15 Q8
    python eight_bits.py Q8 WIDE

Of the same numbers: a scale in f16 times a whole number is exact in f32. It reads the layout by its page and nothing of ours.
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

KEY, VERSION, BLOCK = "pseudoword.q8", "1", 32


def widened(values, scales):
    """A weight [out, in, ..] from its values and its scales [out, .., in / 32], in f32."""
    last = values.movedim(1, -1).float()
    blocks = last.unflatten(-1, (-1, BLOCK)) * scales.float().unsqueeze(-1)
    return blocks.flatten(-2).movedim(-1, 1).contiguous()


def load(path):
    """All weights of a file in f32, by name; how many of them were in eight bits."""
    with safe_open(path, "pt") as file:
        version = (file.metadata() or {}).get(KEY)
        if version not in (None, VERSION):
            raise SystemExit(f"{path}: layout {version!r}, and {VERSION!r} is read")
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    packed = [name for name, tensor in tensors.items() if version and tensor.dtype == torch.int8]
    for name in packed:
        tensors[name] = widened(tensors[name], tensors.pop(f"{name}.scales"))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}, len(packed)


def widen(model, out):
    """Writes the folder."""
    shutil.copytree(model, out, ignore=shutil.ignore_patterns("*.safetensors", "pseudoword.json"))
    for path in sorted(model.rglob("*.safetensors")):
        tensors, packed = load(path)
        save_file(tensors, out / path.relative_to(model), {"format": "pt"})
        print(f"{path.relative_to(model)}: {packed} of {len(tensors)} weights were in eight bits")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder that `pseudoword models convert` wrote")
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    options = parser.parse_args()
    widen(options.model, options.out)


if __name__ == "__main__":
    main()
