"""Makes a Stable Diffusion 1.x folder of any size, or one of SDXL's, with random weights, to measure time and memory on.

    python random_model.py OUT [--channels 64,128,256,256] [--sample-size 32] [--text-width 256]
    python random_model.py OUT --full
    python random_model.py OUT --narrow
    python random_model.py OUT --sdxl              # 6.9 GB, in f16

The values mean nothing; sizes, layer types and the computation are those of a real model. Tokenizer and noise schedule are
the mini model's.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "models" / "mini"
# Whose small files have the same fields as the published ones.
TINY_SDXL = ROOT / "tests" / "fixtures" / "tiny-sdxl"


def sdxl(out: Path) -> None:
    """All sizes of SDXL base; one part at a time, in half precision from the beginning, so that 6 GB of memory do."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    config = lambda part: json.loads((TINY_SDXL / part / "config.json").read_text())  # noqa: E731
    unet = config("unet") | {
        "sample_size": 128,
        "block_out_channels": [320, 640, 1280],
        "layers_per_block": 2,
        "attention_head_dim": [5, 10, 20],
        "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048,
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "norm_num_groups": 32,
    }
    vae = config("vae") | {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "sample_size": 1024,
    }
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    first = config("text_encoder") | sizes | {"vocab_size": 49408, "projection_dim": 768}
    sizes = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
    second = config("text_encoder_2") | sizes | {"vocab_size": 49408, "projection_dim": 1280}
    parts = {
        "unet": lambda: UNet2DConditionModel.from_config(unet),
        "vae": lambda: AutoencoderKL.from_config(vae),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**first)),
        "text_encoder_2": lambda: CLIPTextModelWithProjection(CLIPTextConfig(**second)),
    }
    for name, made in parts.items():
        made().half().save_pretrained(out / name)
    for name in ["tokenizer", "tokenizer_2", "scheduler"]:
        shutil.copytree(TINY_SDXL / name, out / name, dirs_exist_ok=True)
    shutil.copy(TINY_SDXL / "model_index.json", out)
    print(f"{out}: {sum(file.stat().st_size for file in out.rglob('*.safetensors')) / 1e9:.2f} GB")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--channels", default="64,128,256,256", help="of the U-Net's levels")
    arguments.add_argument("--sample-size", type=int, default=32, help="side of the latents")
    arguments.add_argument("--text-width", type=int, default=256)
    arguments.add_argument("--full", action="store_true", help="all sizes of Stable Diffusion 1.5")
    arguments.add_argument("--narrow", action="store_true", help="as deep as that and an eighth as wide, as `bench --random sd1-narrow`")
    arguments.add_argument("--sdxl", action="store_true", help="all sizes of SDXL")
    options = arguments.parse_args()
    if options.sdxl:
        sdxl(options.out)
        return
    if options.full:
        options.channels, options.sample_size, options.text_width = "320,640,1280,1280", 64, 768
    if options.narrow:
        options.channels, options.sample_size, options.text_width = "40,80,160,160", 8, 64
    deep = options.full or options.narrow
    channels = [int(value) for value in options.channels.split(",")]
    levels = len(channels)
    vocabulary = json.loads((MINI / "tokenizer" / "vocab.json").read_text())

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=options.sample_size,
        block_out_channels=channels,
        layers_per_block=2,
        cross_attention_dim=options.text_width,
        attention_head_dim=1 if options.narrow else 8,
        norm_num_groups=32 if options.full else 8 if options.narrow else 16,
        down_block_types=["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1),
    )
    vae_channels = [128, 256, 512, 512] if options.full else [16, 32, 64, 64] if options.narrow else [16, 32, 64]
    vae = AutoencoderKL(
        block_out_channels=vae_channels,
        layers_per_block=2 if deep else 1,
        down_block_types=["DownEncoderBlock2D"] * len(vae_channels),
        up_block_types=["UpDecoderBlock2D"] * len(vae_channels),
        norm_num_groups=32 if options.full else 4,
        sample_size=2 ** (len(vae_channels) - 1) * options.sample_size,
        scaling_factor=0.18215,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408 if options.full else len(vocabulary),
            hidden_size=options.text_width,
            intermediate_size=4 * options.text_width,
            num_hidden_layers=12 if deep else 6,
            num_attention_heads=12 if options.full else 1 if options.narrow else 8,
            hidden_act="quick_gelu",
            bos_token_id=len(vocabulary) - 2,
            eos_token_id=len(vocabulary) - 1,
            pad_token_id=len(vocabulary) - 1,
        )
    )
    for name, module in [("unet", unet), ("vae", vae), ("text_encoder", text)]:
        module.half().save_pretrained(options.out / name)
    for name in ["tokenizer", "scheduler"]:
        shutil.copytree(MINI / name, options.out / name, dirs_exist_ok=True)
    shutil.copy(MINI / "model_index.json", options.out)
    print(f"{options.out}: U-Net of {sum(p.numel() for p in unet.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
