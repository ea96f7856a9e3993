"""Writes a Stable Diffusion or SDXL checkpoint of full size in one file, in the original layout, with random weights.

    python random_checkpoint.py OUT.safetensors [--family sd1] [--dtype f16]

To measure memory and time without a download: names, shapes and scale are those of the published file
(`tests/fixtures/checkpoint-*.json`), the values mean nothing. 2.1 GB in f16 (of SDXL 6.9 GB), written one tensor at a time.
"""

import argparse
import json
from pathlib import Path

import torch

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
DTYPES = {"f16": ("F16", torch.float16), "f32": ("F32", torch.float32)}


def values(name, shape, generator):
    """Values that keep every layer's output near unit scale: norms near one, biases near zero, no two alike."""
    if len(shape) < 2:
        one = name.endswith("weight") and len(shape) == 1
        return 0.02 * torch.randn(shape, generator=generator) + one
    scale = 0.02 if "embed" in name else 1 / torch.Size(shape[1:]).numel() ** 0.5
    return torch.randn(shape, generator=generator) * scale


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", choices=["sd1", "sd2", "sdxl"], default="sd1")
    parser.add_argument("--dtype", choices=DTYPES, default="f16")
    options = parser.parse_args()
    name, dtype = DTYPES[options.dtype]
    tensors = json.loads((FIXTURES / f"checkpoint-{options.family}.json").read_text())["tensors"]
    header, end = {}, 0
    for entry in tensors:
        size = torch.Size(entry["shape"]).numel() * dtype.itemsize
        header[entry["name"]] = {"dtype": name, "shape": entry["shape"], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    generator = torch.Generator().manual_seed(0)
    with options.out.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for entry in tensors:
            file.write(values(entry["name"], entry["shape"], generator).to(dtype).numpy().tobytes())
    print(f"{options.out}: {options.out.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
