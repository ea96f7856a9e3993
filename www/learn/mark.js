// What of a picture is the thing: found by the engine, or marked with a mouse, a finger or a pen; what is outside is hatched. A mask is the address
// (`data:`) of a PNG of the picture's shape, opaque where the thing is.

import { button, h } from "../base/dom.js";
import { reasonOf } from "../base/studio.js";
import { png, t } from "../base/text.js";

/** Pixels of the longer side of a mask, at most. */
const LONGEST = 512;
/** So much can be undone. */
const STEPS = 30;

/** Calls `move` with the pointer's events until it is let go, then `end`. */
export function drag(element, { pointerId }, move, end) {
  element.setPointerCapture(pointerId);
  element.addEventListener("pointermove", move);
  const over = () => {
    for (const type of ["pointerup", "pointercancel"]) element.removeEventListener(type, over);
    element.removeEventListener("pointermove", move);
    end?.();
  };
  for (const type of ["pointerup", "pointercancel"]) element.addEventListener(type, over);
}

/** What is marked in a picture: `canvas` lies over it, `panel` has what can be done, `erase` is whether the brush takes
 * away, and `tell("")` says it again where the square is another. `find(config)` gives
 * what the engine takes for the thing, `{mask?: bytes, origin}`, or nothing where that is all of it: with `usual` settings that is shown where
 * nothing is marked yet; `square()` is what the model sees. `changed` is called after each change. */
export function marking(picture, { changed, find, usual, square }) {
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.round(side * scale));
  const canvas = h("canvas", { class: "marks", width, height, onpointerdown: draw });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // Over grey nothing changes, as it is laid over the picture.
  Object.assign(context, { fillStyle: "#808080", strokeStyle: "#808080", lineCap: "round", lineJoin: "round" });
  const said = h("p", { class: "said", role: "status" });
  const brush = h("input", { type: "range", min: 2, max: 40, value: 12 });
  /** What there was before each change. */
  const past = [];
  const undo = button(t("make.undo"), () => {
    context.putImageData(past.pop(), 0, 0);
    take("");
  }, { kind: "plain" });
  const panel = h("div", {}, h("label", {}, t("learn.mark.brush"), brush), h("div", { class: "row" },
    button(t("learn.mark.find"), () => act(() => look({ masks: "auto" }))),
    button(t("learn.mark.all"), () => act(() => fill("source-over")), { kind: "plain" }),
    button(t("learn.mark.invert"), () => act(() => fill("source-out")), { kind: "plain" }),
    undo), h("small", {}, t("learn.mark.how")), said);
  const made = { canvas, panel, tell, erase: false };

  const all = () => context.getImageData(0, 0, width, height);

  function fill(how) {
    context.globalCompositeOperation = how;
    context.fillRect(0, 0, width, height);
    return "";
  }

  async function put(src) {
    const img = h("img", { src });
    await img.decode();
    context.globalCompositeOperation = "copy";
    context.drawImage(img, 0, 0, width, height);
    return fill("source-in");
  }

  /** Shows what the engine takes for the thing; gives what is to be said of it. */
  async function look(config) {
    const { mask, origin } = (await find(config)) ?? {};
    if (!mask) return fill("source-over");
    const src = URL.createObjectURL(png(mask));
    await put(src);
    URL.revokeObjectURL(src);
    return origin === "unsure" ? t("learn.mark.unsure") : "";
  }

  /** Says how much of the square is marked, and more; gives how much. */
  function tell(more) {
    const { left, top, side } = square();
    const { data } = context.getImageData(left * scale, top * scale, side * scale, side * scale);
    const share = data.filter((value, i) => i % 4 === 3 && value > 127).length / (data.length / 4);
    undo.disabled = past.length === 0;
    said.textContent = `${t("learn.mark.share", share)} ${more}`;
    return share;
  }

  /** Takes what is marked; where nothing is, all of the picture counts. */
  function take(more) {
    picture.mask = tell(more) > 0 ? canvas.toDataURL() : undefined;
    changed();
  }

  function keep(before) {
    past.push(before);
    if (past.length > STEPS) past.shift();
  }

  /** Does something and takes it; what goes wrong is said. */
  async function act(work, then = take) {
    const before = all();
    said.textContent = "\u2026";
    try {
      const more = await work();
      if (then === take) keep(before);
      then(more);
    } catch (error) {
      [said.textContent] = await reasonOf(error);
    }
  }

  function draw(event) {
    event.preventDefault();
    keep(all());
    const scale = width / canvas.clientWidth;
    context.globalCompositeOperation = made.erase || event.button === 5 ? "destination-out" : "source-over";
    context.lineWidth = (brush.value * Math.max(width, height)) / 100;
    context.beginPath();
    const move = ({ offsetX, offsetY }) => {
      context.lineTo(offsetX * scale, offsetY * scale);
      context.stroke();
    };
    move(event);
    move(event);
    drag(canvas, event, move, () => take(""));
  }

  act(() => (picture.mask ? put(picture.mask) : look(usual())), tell);
  return made;
}
