#!/usr/bin/env python3
"""What other programs write, for the Rust tests to read; and whether they read what we write. Run by hand.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.23.0 safetensors==0.8.0 pillow   (Python 3.11)
    pip install torch==1.13.1 "numpy<2"                                                         (Python 3.10, a second venv)

    python golden.py fixtures                        # fixtures/*, fixtures/expected.json
    old/bin/python golden.py fixtures-old            # fixtures/old-*, added to expected.json
    PSEUDOWORD_WRITE=/tmp cargo test --release --test formats      (writes /tmp/ours and /tmp/corpus)
    python golden.py verdicts /tmp/ours              # verdicts.json
    old/bin/python golden.py verdicts-old /tmp/ours  # added to it
    python golden.py oracle /tmp/corpus              # prints which odd files that we read torch and safetensors do not

The fixtures are small (32 wide) and their values lie on a grid, so that f16 holds them and every run gives the same ones;
the files themselves may differ between runs in ids that torch makes up. A1111 cannot be installed here: the layout of its
files, its record filter and its class filter are copied from `modules/textual_inversion/textual_inversion.py`,
`modules/textual_inversion/image_embedding.py` and `modules/safe.py` (read through lllyasviel/stable-diffusion-webui-forge).
"""

import base64
import hashlib
import io
import json
import pickle
import re
import sys
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
EXPECTED = FIXTURES / "expected.json"
VERDICTS = HERE / "verdicts.json"


def values(vectors, width, seed=0):
    """The same numbers as `golden::values` in Rust: multiples of 1/64 below 1, exact in every float type."""
    i = torch.arange(vectors * width, dtype=torch.int64) + 13 * seed
    return (((i * 37 + 11) % 97 - 48).to(torch.float32) / 64).reshape(vectors, width)


def words(path, *words):
    """Notes what a file holds: token (or None) and the parts' tensors."""
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    expected[path] = [
        {"token": token, "shapes": [list(part.shape) for part in parts],
         "bits": "".join(part.float().contiguous().numpy().tobytes().hex() for part in parts)}
        for token, parts in words
    ]
    EXPECTED.write_text(json.dumps(dict(sorted(expected.items())), indent=1) + "\n")


def a1111(vector, name="cat-toy", step=500, **more):
    """`Embedding.save`."""
    return {
        "string_to_token": {"*": 265}, "string_to_param": {"*": vector}, "name": name, "step": step,
        "sd_checkpoint": "81761151", "sd_checkpoint_name": "v1-5-pruned-emaonly", **more,
    }


def compvis(vector):
    """`EmbeddingManager.save` of rinongal/textual_inversion."""
    return {
        "string_to_token": {"*": torch.tensor(265)},
        "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(vector)}),
    }


def save(name, data, *expect, **options):
    torch.save(data, FIXTURES / name, **options)
    words(name, *expect)


def torch_files(prefix):
    """What both torch versions write."""
    one, two = values(1, 32), values(2, 32, 1)
    legacy = {"_use_new_zipfile_serialization": False}
    save(f"{prefix}diffusers.bin", {"<cat-toy>": one}, ("<cat-toy>", [one]))
    save(f"{prefix}diffusers-1d.bin", {"<birb-style>": one[0]}, ("<birb-style>", [one]))
    save(f"{prefix}a1111.pt", a1111(two.clone().requires_grad_()), ("cat-toy", [two]))
    save(f"{prefix}compvis.pt", compvis(two), (f"{prefix}compvis", [two]))
    save(f"{prefix}legacy.bin", {"<cat-toy>": two}, ("<cat-toy>", [two]), **legacy)
    save(f"{prefix}legacy-a1111.pt", a1111(two), ("cat-toy", [two]), **legacy)
    save(f"{prefix}legacy-compvis.pt", compvis(two), (f"{prefix}legacy-compvis", [two]), **legacy)


def lcg():
    seed = 0
    while True:
        seed = (1664525 * seed + 1013904223) % 2**32
        yield seed % 255


def xor_block(block):
    generator = lcg()
    noise = np.array([next(generator) for _ in range(block.size)]).astype(np.uint8).reshape(block.shape)
    return np.bitwise_xor(block.astype(np.uint8), noise & 0x0F)


def style_block(block, sequence):
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (block.shape[1], block.shape[0]))
    draw = ImageDraw.Draw(image)
    i = 0
    for x in range(-6, image.size[0], 8):
        for yi, y in enumerate(range(-6, image.size[1], 8)):
            offset = 4 if yi % 2 == 0 else 0
            shade = int(sequence[i % len(sequence)])
            i += 1
            draw.ellipse((x + offset, y, x + 6 + offset, y + 6), fill=(shade, shade, shade))
    return block ^ (np.array(image).astype(np.uint8) & 0xF0)


def picture(data):
    """`insert_image_data_embed` around a small grey picture."""
    from PIL import Image

    image = Image.new("RGB", (48, 64), (120, 130, 140))
    packed = np.frombuffer(zlib.compress(encode(data).encode(), level=9), np.uint8).copy()
    high, low = packed >> 4, packed & 0x0F
    h, d = image.size[1], 3
    size = low.shape[0] + (h - low.shape[0] % h)
    size += (h * d) - (size % (h * d))
    low = np.resize(low, size).reshape((h, -1, d))
    high = np.resize(high, size).reshape((h, -1, d))
    edge = next(iter(data["string_to_param"].values())).numpy().tolist()[0][:1024]
    edge = (np.abs(edge) / np.max(np.abs(edge)) * 255).astype(np.uint8)
    low = Image.fromarray(xor_block(style_block(low, edge)), mode="RGB")
    high = Image.fromarray(xor_block(style_block(high, edge[::-1])), mode="RGB")
    whole = Image.new("RGB", (image.size[0] + low.size[0] + high.size[0] + 2, h), (0, 0, 0))
    whole.paste(low, (0, 0))
    whole.paste(image, (low.size[0] + 1, 0))
    whole.paste(high, (low.size[0] + 1 + image.size[0] + 1, 0))
    return whole


def encode(data):
    """`EmbeddingEncoder`."""
    default = lambda value: {"TORCHTENSOR": value.numpy().tolist()}  # noqa: E731
    return json.dumps(data, default=default)


def pictures():
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    two = values(2, 32, 2)
    data = a1111(two, name="cat-picture", step=7)
    text = base64.b64encode(encode(data).encode()).decode()
    grey = Image.new("RGB", (16, 16), (90, 100, 110))
    for name, zipped in [("picture-text.png", False), ("picture-ztxt.png", True)]:
        info = PngInfo()
        info.add_text("sd-ti-embedding", text, zip=zipped)
        grey.save(FIXTURES / name, pnginfo=info)
        words(name, ("cat-picture", [two]))
    info = PngInfo()
    info.add_itxt("sd-ti-embedding", text, zip=True)
    grey.save(FIXTURES / "picture-itxt.png", pnginfo=info)
    words("picture-itxt.png", ("cat-picture", [two]))
    picture(data).save(FIXTURES / "picture-pixels.png")
    words("picture-pixels.png", ("cat-picture", [two]))


def fixtures():
    from safetensors.torch import save_file

    EXPECTED.unlink(missing_ok=True)
    for old in FIXTURES.glob("*.*"):
        if not old.name.startswith("old-"):
            old.unlink()
    one, two, wide = values(1, 32), values(2, 32, 1), values(2, 40, 3)
    torch_files("")
    save("parameter.bin", {"<cat-toy>": torch.nn.Parameter(one.clone())}, ("<cat-toy>", [one]))
    save("raw.pt", two, (None, [two]))
    save("two-words.bin", {"<a>": one, "<b>": two}, ("<a>", [one]), ("<b>", [two]))
    save("protocol4.bin", {"<cat-toy>": two}, ("<cat-toy>", [two]), pickle_protocol=4)
    for name, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64)]:
        save(f"{name}.bin", {"<cat-toy>": two.to(dtype)}, ("<cat-toy>", [two]))
    table = values(40, 32, 5)
    save("slice.bin", {"<cat-toy>": table[-1]}, ("<cat-toy>", [table[-1:]]))
    save("transposed.bin", {"<cat-toy>": table[:8].t()}, ("<cat-toy>", [table[:8].t()]))
    save("expanded.bin", {"<cat-toy>": one.expand(4, 32)}, ("<cat-toy>", [one.expand(4, 32)]))
    save("expanded-legacy.bin", {"<cat-toy>": one.expand(4, 32)}, ("<cat-toy>", [one.expand(4, 32)]),
         _use_new_zipfile_serialization=False)
    save("dict-of-dict.pt", OrderedDict([("<cat-toy>", two)]), ("<cat-toy>", [two]))
    torch.serialization.set_crc32_options(False)
    save("no-crc.bin", {"<cat-toy>": one}, ("<cat-toy>", [one]))
    torch.serialization.set_crc32_options(True)

    def tensors(name, data, *expect, metadata=None):
        save_file({key: value.contiguous() for key, value in data.items()}, FIXTURES / name, metadata=metadata)
        words(name, *expect)

    tensors("diffusers.safetensors", {"<cat-toy>": two}, ("<cat-toy>", [two]), metadata={"format": "pt"})
    tensors("diffusers-1d.safetensors", {"<birb-style>": one[0]}, ("<birb-style>", [one]))
    tensors("f16.safetensors", {"<cat-toy>": two.half()}, ("<cat-toy>", [two]))
    tensors("bf16.safetensors", {"<cat-toy>": two.bfloat16()}, ("<cat-toy>", [two]))
    tensors("f64.safetensors", {"<cat-toy>": two.double()}, ("<cat-toy>", [two]))
    tensors("kohya.safetensors", {"emb_params": two.half()}, ("kohya", [two]), metadata={
        "modelspec.architecture": "stable-diffusion-v1/textual-inversion", "ss_steps": "1600",
        "ss_sd_model_name": "v1-5-pruned", "ss_new_sd_model_hash": "e1441589a6f3"})
    tensors("onetrainer.safetensors", {"emp_params": two, "emp_params_out": one}, ("onetrainer", [two]))
    tensors("sdxl.safetensors", {"clip_l": two, "clip_g": wide}, ("sdxl", [two, wide]))
    tensors("two-words.safetensors", {"<a>": one, "<b>": two}, ("<a>", [one]), ("<b>", [two]))
    pictures()


# ---- what we write -------------------------------------------------------------------------------------------------

# modules/safe.py: `check_zip_filenames`, as it was and as it is.
OLD_RECORDS = re.compile(r"^([^/]+)/((data/\d+)|version|(data\.pkl))$")
NEW_RECORDS = re.compile(r"^([^/]+)/((data/\d+)|version|byteorder|(\.data/serialization_id)|(data\.pkl))$")


class Filter(pickle.Unpickler):
    """modules/safe.py: `RestrictedUnpickler`, the names that it knows and a plain torch file can have."""

    def persistent_load(self, saved_id):
        assert saved_id[0] == "storage"
        return torch.UntypedStorage() if hasattr(torch, "UntypedStorage") else torch._UntypedStorage()

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ["_rebuild_tensor_v2", "_rebuild_parameter"]:
            return lambda *arguments: "a tensor"
        if module == "torch" and name in ["FloatStorage", "HalfStorage", "IntStorage", "LongStorage", "DoubleStorage"]:
            return getattr(torch, name)
        raise Exception(f"global '{module}/{name}' is forbidden")


def loaded_by_torch(path):
    data = torch.load(path, weights_only=True)
    assert type(data) is dict
    if "string_to_param" in data:
        assert data["string_to_token"] == {"*": 265} and data["name"] == "<cat-toy>" and data["step"] == 500, data
        data = data["string_to_param"]
    (vector,) = data.values()
    assert type(vector) is torch.Tensor
    return vector


def by_torch(path):
    return loaded_by_torch(path)


def by_a1111(path, records):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        bad = [name for name in archive.namelist() if not records.match(name)]
        assert not bad, bad
        data_pkl = [name for name in archive.namelist() if name.endswith("data.pkl")]
        assert len(data_pkl) == 1
        Filter(archive.open(data_pkl[0])).load()
    data = torch.load(path, map_location="cpu")
    assert type(data) is dict
    if "string_to_param" in data:
        parameters = data["string_to_param"]
        assert len(parameters) == 1
        vector = next(iter(parameters.items()))[1]
    else:
        assert len(data.keys()) == 1
        vector = next(iter(data.values()))
    assert type(vector) is torch.Tensor, "Couldn't identify as textual inversion embedding"
    return vector if len(vector.shape) > 1 else vector.unsqueeze(0)


def by_safetensors(path):
    from safetensors.torch import load_file

    (vector,) = load_file(path).values()
    return vector


def by_comfyui(path):
    """comfy/sd1_clip.py, `load_embed`, for one file."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        embed = load_file(path, device="cpu")
    else:
        embed = torch.load(path, weights_only=True, map_location="cpu")
    values = embed["string_to_param"].values() if "string_to_param" in embed else embed.values()
    return next(iter(values))


def tiny_encoder(width):
    """A real tokenizer, and a tiny text encoder of a width."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    root = Path(__file__).resolve()
    tokenizer_folder = next(p for p in (q / "models/mini/tokenizer" for q in root.parents) if p.exists())
    tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder)
    encoder = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=width, intermediate_size=8,
                                           num_hidden_layers=1, num_attention_heads=1))
    return tokenizer, encoder


def rows_of(tokenizer, encoder, vectors):
    """The rows of the word's tokens in the encoder's table."""
    names = ["<cat-toy>"] + [f"<cat-toy>_{i}" for i in range(1, vectors)]
    rows = encoder.get_input_embeddings().weight
    return torch.stack([rows[tokenizer.convert_tokens_to_ids(name)] for name in names]).detach()


def by_diffusers(path):
    """The rows that end up in the table of a text encoder of the word's width."""
    from diffusers.loaders import TextualInversionLoaderMixin

    tokenizer, encoder = tiny_encoder(by_comfyui(path).shape[-1])

    class Pipe(TextualInversionLoaderMixin):
        hf_device_map = None

        def __init__(self):
            self.tokenizer, self.text_encoder = tokenizer, encoder
            self.components = {"tokenizer": tokenizer, "text_encoder": encoder}

    before = len(tokenizer)
    kohya = "kohya" in path.name
    Pipe().load_textual_inversion(str(path.parent), weight_name=path.name, local_files_only=True,
                                  token="<cat-toy>" if kohya else None)
    return rows_of(tokenizer, encoder, len(tokenizer) - before)


# ---- what we write for two text encoders: each reader gives both tensors ----------------------------------------------


def both_by_diffusers(path):
    """One call for each encoder, as diffusers' documentation has it for a file with both."""
    from diffusers.loaders import TextualInversionLoaderMixin
    from safetensors.torch import load_file

    parts = [tiny_encoder(768), tiny_encoder(1280)]

    class Pipe(TextualInversionLoaderMixin):
        hf_device_map = None

        def __init__(self):
            (self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2) = parts
            self.components = {"tokenizer": self.tokenizer, "text_encoder": self.text_encoder,
                               "tokenizer_2": self.tokenizer_2, "text_encoder_2": self.text_encoder_2}

    pipe, word, found = Pipe(), load_file(path), []
    for key, (tokenizer, encoder) in zip(["clip_l", "clip_g"], parts, strict=True):
        before = len(tokenizer)
        pipe.load_textual_inversion(word[key], token="<cat-toy>", text_encoder=encoder, tokenizer=tokenizer)
        found.append(rows_of(tokenizer, encoder, len(tokenizer) - before))
    return found


def both_by_safetensors(path):
    from safetensors.torch import load_file

    return sorted(load_file(path).values(), key=lambda tensor: tensor.shape[-1])


def both_by_comfyui(path):
    """comfy/sd1_clip.py, `load_embed`: each of SDXL's encoders asks for its own key."""
    from safetensors.torch import load_file

    embed = load_file(path, device="cpu")
    assert "string_to_param" not in embed
    return [embed[key] for key in ["clip_l", "clip_g"]]


def both_by_a1111(path):
    """`create_embedding_from_data` for what is not `string_to_param`."""
    from safetensors.torch import load_file

    data = load_file(path, device="cpu")
    assert type(data) is dict and "clip_g" in data and "clip_l" in data
    assert data["clip_g"].shape[-1] + data["clip_l"].shape[-1] == 2048
    vector = {key: value.detach().to("cpu", dtype=torch.float32) for key, value in data.items()}
    return [vector["clip_l"], vector["clip_g"]]


def both_by_replicate(path):
    """cog-sdxl's `load_embeddings`."""
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        return [file.get_tensor(f"text_encoders_{index}") for index in range(2)]


def verdicts(folder, readers):
    """Holds every file that Rust wrote against every reader. Files are `<layout>-<K>x<D>.<extension>`, or `<K>x<D>+<D2>` with
    vectors for two text encoders."""
    found = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}
    for path in sorted(Path(folder).iterdir()):
        vectors, *widths = (int(size) for size in re.search(r"-(\d+)x(\d+)(?:\+(\d+))?\.", path.name).groups() if size)
        wanted = [values(vectors, width, 9) for width in widths]
        entry = found.setdefault(path.name, {})
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if entry.get("sha256") != sha256:
            entry.clear()
        entry["sha256"] = sha256
        for name, reader in readers(path).items():
            try:
                found_here = reader(path)
                tensors = [tensor.detach() for tensor in (found_here if isinstance(found_here, list) else [found_here])]
                same = len(tensors) == len(wanted) and all(map(torch.equal, tensors, wanted))
                entry[name] = "bit-equal" if same else f"other values, {[tuple(tensor.shape) for tensor in tensors]}"
            except Exception as error:  # noqa: BLE001, the verdict is what is asked for
                entry[name] = f"{type(error).__name__}: {error}"
    VERDICTS.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    for name, entry in found.items():
        print(name, {k: v for k, v in entry.items() if k != "sha256"})


def new_readers(path):
    if path.suffix == ".pti":
        return {"Replicate's rule": both_by_replicate, "safetensors 0.8.0": both_by_safetensors}
    if "+" in path.name:
        return {
            "diffusers 0.42.1": both_by_diffusers, "ComfyUI's rule": both_by_comfyui, "A1111's rules": both_by_a1111,
            "safetensors 0.8.0": both_by_safetensors,
        }
    readers = {"diffusers 0.42.1": by_diffusers, "ComfyUI's rule": by_comfyui}
    if path.suffix == ".safetensors":
        return {**readers, "safetensors 0.8.0": by_safetensors}
    return {
        **readers, "torch 2.15.0 weights_only": by_torch,
        "A1111's rules, old": lambda path: by_a1111(path, OLD_RECORDS),
        "A1111's rules, new": lambda path: by_a1111(path, NEW_RECORDS),
    }


def old_readers(path):
    return {} if path.suffix in [".safetensors", ".pti"] else {"torch 1.13.1 weights_only": by_torch}


def oracle(folder):
    """Every odd file that we read: do torch and safetensors read the same? Those that they refuse are listed."""
    from safetensors.torch import load

    same = 0
    for about in sorted(Path(folder).glob("*.json"), key=lambda path: int(path.stem)):
        about, file = json.loads(about.read_text()), about.with_suffix(".file")
        if about["container"] == "PNG":
            continue
        try:
            data = load(file.read_bytes()) if about["container"] == "safetensors" else torch.load(file, weights_only=True)
            if "string_to_param" in data:
                data = data["string_to_param"]
            (vector, *_) = [value for value in data.values() if isinstance(value, torch.Tensor)]
            bits = vector.detach().float().contiguous().numpy().tobytes().hex()
            assert bits == about["bits"], f"OTHER VALUES {bits[:32]} {about['bits'][:32]}"
            same += 1
        except Exception as error:  # noqa: BLE001, the refusal is what is asked for
            print(f"{about['what']}: {type(error).__name__}: {str(error).splitlines()[0][:110]}")
    print(same, "read the same")


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "fixtures":
        fixtures()
    elif command == "fixtures-old":
        torch_files("old-")
    elif command == "verdicts":
        verdicts(rest[0], new_readers)
    elif command == "verdicts-old":
        verdicts(rest[0], old_readers)
    elif command == "oracle":
        oracle(rest[0])
    else:
        sys.exit(__doc__)
