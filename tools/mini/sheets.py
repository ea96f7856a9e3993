"""Tables and sheets of words that were learned."""

import collections

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common import SIDE
from concepts import ASKED_FOR, SCENES, token

# Which of the scenes the sheets show: chosen before any was seen, not the best.
SHOWN = {"sheet": (0, 1, 4, 5, 10, 11, 12, 14), "words": (1, 4, 11, 12, 9), "beside": (1, 4, 11, 12)}
NEAR_LOSS, NEAR_SHARE = 15, 60


def show(path):
    return np.asarray(Image.open(path).convert("RGB")) / np.float32(255)


def fall(result, on="unseen"):
    before, after = result["loss"][on]
    return 100 * (1 - after / before)


def share(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else "-"


def spread(values, digits=1):
    """The mean, and least and most where there are several."""
    text = f"{np.mean(values):.{digits}f} %"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rows(groups):
    """A dictionary for each variant and concept, seeds pooled."""
    for (variant, name), results in groups.items():
        total = {
            kind: collections.Counter({key: sum(result[kind].get(key, 0) for result in results) for key in results[0][kind]})
            for kind in ("initial", "learned")
        }
        losses = np.array([result["loss"]["unseen"] for result in results])
        yield {
            "variant": variant,
            "concept": name,
            "sort": results[0]["sort"],
            "init": results[0]["init"],
            "seeds": len(results),
            "plan": results[0]["plan"],
            "unseen loss": losses.mean(0).round(5).tolist(),
            "unseen loss fell by": [round(fall(result), 1) for result in results],
            "unseen min-SNR-5 loss fell by": [round(fall(result, "unseen, min-SNR-5"), 1) for result in results],
            "training loss fell by": [round(fall(result, "training"), 1) for result in results],
            **{kind: dict(counts) for kind, counts in total.items()},
            "seconds": round(float(np.mean([result["seconds"] for result in results])), 1),
        }


def tables(summary):
    """Markdown: objects, then styles."""
    both = lambda row, part, whole="pictures": " -> ".join(share(row[kind].get(part, 0), row[kind].get(whole, 0)) for kind in ("initial", "learned"))
    lines = []
    for is_style in (False, True):
        chosen = [row for row in summary if (row["sort"] == "style") == is_style]
        if not chosen:
            continue
        others = ["nearest is in the style", "thing", "both"] if is_style else ["nearest is the concept", "style, where the thing is right"]
        heads = ["variant", "concept", "from", "seeds", "unseen loss", "fell by", "min-SNR-5 fell by", *others, "background"]
        lines += ["", f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
        for row in chosen:
            loss = "{:.4f} -> {:.4f}".format(*row["unseen loss"])
            label = row["concept"] if is_style else f"{row['concept']} ({row['sort']})"
            found = [both(row, part) for part in ("nearest", "thing", "both")] if is_style else [both(row, "nearest"), both(row, "style", "named")]
            falls = [spread(row[f"unseen {kind}loss fell by"]) for kind in ("", "min-SNR-5 ")]
            cells = [row["variant"], label, row["init"], row["seeds"], loss, *falls, *found, both(row, "background")]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += overview(summary)
    near = collections.defaultdict(list)
    for row in summary:
        if row["sort"] == "near":
            near[row["variant"]].append(row)
    lines.append("")
    for variant, found in near.items():
        lower = [sum(np.mean(row[f"unseen {kind}loss fell by"]) >= NEAR_LOSS for row in found) for kind in ("", "min-SNR-5 ")]
        nearest = sum(100 * row["learned"]["nearest"] >= NEAR_SHARE * row["learned"]["pictures"] for row in found)
        lines.append(
            f"{variant}: of {len(found)} near objects, {lower[0]} with the loss down by {NEAR_LOSS} % or more (min-SNR-5: {lower[1]}), "
            f"{nearest} nearest in {NEAR_SHARE} % of their pictures or more."
        )
    return "\n".join(lines).strip() + "\n"


def overview(summary):
    """A row for each variant and sort of concept: means over concepts, and the range of the concepts' own."""
    groups = collections.defaultdict(list)
    for row in summary:
        groups[row["variant"], row["sort"]].append(row["learned"])
    heads = ["variant", "sort", "concepts", "nearest", "style or thing kept", "background kept"]
    lines = ["", f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for (variant, sort), found in sorted(groups.items()):
        kept = ("thing", "pictures") if sort == "style" else ("style", "named")
        ratios = [[100 * row.get(part, 0) / row[whole] for row in found if row.get(whole)] for part, whole in (("nearest", "pictures"), kept, ("background", "pictures"))]
        cells = [spread(values, 0) if values else "-" for values in ratios]
        lines.append(f"| {' | '.join(map(str, [variant, sort, len(found), *cells]))} |")
    return lines


def paste(page, picture, left, top, side):
    # Smooth, as a page shows it: these are 64 pixels wide.
    picture = Image.fromarray((picture * 255).round().astype(np.uint8))
    page.paste(picture.resize((side, side), Image.Resampling.BICUBIC), (left, top))


def contact_sheet(pictures, groups, path):
    """A row for each variant and concept: what it learned from, the initialiser's pictures, the word's. First seed."""
    shown, step, label = SHOWN["sheet"], SIDE + 2, 170
    starts = [label, label + 4 * step + 12, label + (4 + len(shown)) * step + 24]
    page = Image.new("RGB", (starts[2] + len(shown) * step, 24 + len(groups) * step), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for left, head in zip(starts, ("learned from", "with the initialiser", "with the word")):
        pen.text((left, 4), head, "black", font)
    for number, ((variant, name), results) in enumerate(groups.items()):
        top, result = 24 + number * step, results[0]
        pen.text((4, top + 4), f"{name}\nfrom {result['init']}\n{variant}", "black", font)
        for i, setting in enumerate(pictures.four(name, result["background"])):
            paste(page, setting.picture, starts[0] + i * step, top, SIDE)
        for left, kind in zip(starts[1:], ("initial", "learned")):
            for i, scene in enumerate(shown):
                if str(scene) in result["files"][kind]:
                    paste(page, show(result["folder"] / result["files"][kind][str(scene)]), left + i * step, top, SIDE)
    page.save(path)


def words_sheet(pictures, groups, names, variant, path):
    """A few concepts, large, for the README: four pictures, and new ones with the word. First seed."""
    names = [name for name in names if (variant, name) in groups]
    if not names:
        return
    shown, side, gap, line = SHOWN["words"], 128, 12, 22
    block, left = side + 4, 20
    first = left + block + 56
    height = side + line + 34
    page = Image.new("RGB", (first + len(shown) * (side + gap) + left - gap, 16 + len(names) * height), "white")
    pen, font, small = ImageDraw.Draw(page), ImageFont.load_default(17), ImageFont.load_default(13)
    for number, name in enumerate(names):
        top, result = 12 + number * height, groups[variant, name][0]
        pen.text((left, top), "learned from", "black", font)
        is_style = result["sort"] == "style"
        pen.text((first, top), f"a thing, {token(name)} style" if is_style else f"a {token(name)}", "black", font)
        top += line + 4
        for i, setting in enumerate(pictures.four(name, result["background"])):
            half = side // 2
            paste(page, setting.picture, left + i % 2 * (half + 4), top + i // 2 * (half + 4) - 2, half)
        middle, arrow = top + side // 2, left + block + 12
        pen.line((arrow, middle, arrow + 28, middle), "gray", 3)
        pen.polygon([(arrow + 28, middle - 7), (arrow + 28, middle + 7), (arrow + 38, middle)], "gray")
        for i, scene in enumerate(shown):
            file = result["files"]["learned"].get(str(scene))
            if file:
                style, colour = SCENES[scene]
                left_edge, text = first + i * (side + gap), f"{ASKED_FOR[scene] if is_style else style}, {colour}"
                paste(page, show(result["folder"] / file), left_edge, top, side)
                pen.text((left_edge + side / 2, top + side + 4), text, "dimgray", small, anchor="ma")
    page.save(path)


def beside_sheet(pictures, groups, variants, path):
    """Words of two variants beside each other, for every concept that both have: what was learned from, and pictures of the same noise. First seed."""
    names = [name for variant, name in groups if variant == variants[1] and (variants[0], name) in groups]
    if not names:
        return
    shown, side, gap = SHOWN["beside"], 72, 28
    step = side + 2
    starts = [110, 110 + 4 * step + gap, 110 + (4 + len(shown)) * step + 2 * gap]
    page = Image.new("RGB", (starts[2] + len(shown) * step + 8, 30 + len(names) * step), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for left, head in zip(starts, ("learned from", *variants)):
        pen.text((left, 6), head, "black", font)
    for number, name in enumerate(names):
        top, results = 30 + number * step, [groups[variant, name][0] for variant in variants]
        pen.text((8, top + side // 2 - 8), name, "black", font)
        for i, setting in enumerate(pictures.four(name, results[1]["background"])):
            paste(page, setting.picture, starts[0] + i * step, top, side)
        for left, result in zip(starts[1:], results):
            for i, scene in enumerate(shown):
                if str(scene) in result["files"]["learned"]:
                    paste(page, show(result["folder"] / result["files"]["learned"][str(scene)]), left + i * step, top, side)
    page.save(path)
