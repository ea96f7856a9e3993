"""The mini model, stage by stage: python tools/mini STAGE [options]; see README.md."""

import importlib
import sys

STAGES = ("fetch", "render", "words", "train_vae", "latents", "train_unet", "evaluate", "invert", "together", "describe", "eight_bits", "export", "pack")


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in STAGES:
        sys.exit(f"{__doc__}\nstages: {', '.join(STAGES)}")
    importlib.import_module(sys.argv[1]).main(sys.argv[2:])


main()
