// Squares of pictures: what of a picture the model sees, and how that is moved and resized in place, with the mouse, a finger, or the keyboard;
// and beside it what of the picture is the thing (mark.js). A crop is `{left, top, side}` in pixels of the upright picture.

import { button, h } from "../base/dom.js";
import { t } from "../base/text.js";
import { drag, marking } from "./mark.js";

/** What the engine takes where nobody chose: the largest square in the middle. */
export function middle({ width, height }) {
  const side = Math.min(width, height);
  return { left: (width - side) >> 1, top: (height - side) >> 1, side };
}

export const cropOf = (picture) => picture.crop ?? middle(picture);

/** Shows only the square of a picture in an element of the class `cropped`, and less of what is outside of its mask. */
export function place(element, picture) {
  const { left, top, side } = cropOf(picture);
  const set = (name, value) => element.style.setProperty(name, `${100 * value}%`);
  set("--wide", picture.width / side);
  set("--left", -left / side);
  set("--top", -top / side);
  element.firstChild.style.maskImage = picture.mask ? `url(${picture.mask}), linear-gradient(#0005 0 0)` : "";
}

/** An element that shows a picture's square. */
export function cropped(picture, alt) {
  const element = h("span", { class: "cropped" }, h("img", { src: picture.url, alt, decoding: "async", draggable: false }));
  place(element, picture);
  return element;
}

/** A crop moved and resized to be within its picture, in whole pixels. */
export function within({ width, height }, { left, top, side }) {
  const clamp = (value, low, high) => Math.min(Math.max(Math.round(value), low), high);
  const size = clamp(side, Math.min(16, width, height), Math.min(width, height));
  return { left: clamp(left, 0, width - size), top: clamp(top, 0, height - size), side: size };
}

/** What one press of a key does to the square. */
const KEYS = {
  ArrowLeft: (crop, step) => ({ ...crop, left: crop.left - step }),
  ArrowRight: (crop, step) => ({ ...crop, left: crop.left + step }),
  ArrowUp: (crop, step) => ({ ...crop, top: crop.top - step }),
  ArrowDown: (crop, step) => ({ ...crop, top: crop.top + step }),
  "+": (crop, step) => grown(crop, 2 * step),
  "=": (crop, step) => grown(crop, 2 * step),
  "-": (crop, step) => grown(crop, -2 * step),
};

/** The square around the same middle. */
const grown = ({ left, top, side }, by) => ({ left: left - by / 2, top: top - by / 2, side: side + by });

/** Tools of the editor. */
const TOOLS = ["crop", "mark", "erase"];

/** The editor of a picture's square and mask. `seen` is the side in pixels that the model sees; `find(config)` gives what the engine takes for the
 * thing (mark.js), with the settings `usual` where nobody asked for anything; `done` is called when it is closed, `changed` after each change. */
export class Editor {
  #picture;
  #changed;
  #box = h("div", { class: "crop-box", tabIndex: 0, role: "application", "aria-describedby": "crop-how" }, h("span", { class: "crop-corner" }));
  #whole;
  #seen;
  #size;

  constructor(picture, { seen, changed, done, find, usual }) {
    this.#picture = picture;
    this.#changed = changed;
    this.#whole = h("div", { class: "crop-whole" }, h("img", { src: picture.url, alt: "", draggable: false }), this.#box);
    this.#whole.style.setProperty("--shape", picture.width / picture.height);
    this.#seen = h("canvas", { width: seen, height: seen, class: "crop-seen", role: "img", "aria-label": t("learn.cropSeen", seen) });
    this.#size = h("input", { type: "range", min: 16, max: Math.min(picture.width, picture.height), oninput: ({ target }) => this.#take(grown(cropOf(picture), target.value - cropOf(picture).side)) });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#box.addEventListener("pointerdown", (event) => this.#drag(event));
    const square = h("div", {},
      this.#seen, h("small", { "aria-hidden": "true" }, t("learn.cropSeen", seen)),
      h("label", {}, t("learn.cropSize"), this.#size),
      h("small", { id: "crop-how" }, t("learn.cropHow")),
      button(t("learn.cropMiddle"), () => this.#take(middle(picture)), { kind: "plain" }));
    let marks;
    const use = (tool) => {
      const cropping = tool === "crop";
      if (!cropping && marks) marks.tell("");
      else if (!cropping) {
        marks = marking(picture, { changed, find, usual, square: () => cropOf(picture) });
        this.#whole.append(marks.canvas);
        square.after(marks.panel);
      }
      this.#box.hidden = square.hidden = !cropping;
      if (!marks) return;
      marks.canvas.hidden = marks.panel.hidden = cropping;
      marks.erase = tool === "erase";
    };
    this.element = h("div", { class: "crop", role: "group", "aria-label": t("learn.cropOf", picture.name), onkeydown: (event) => {
      // It is in a form, which Enter would send.
      if (event.key !== "Escape" && (event.key !== "Enter" || event.target.matches("button"))) return;
      event.preventDefault();
      done();
    } },
      h("fieldset", { class: "segments" }, TOOLS.map((tool, i) => h("label", {}, h("input", { type: "radio", name: "tool", checked: i === 0, onchange: () => use(tool) }), h("span", {}, t("learn.tools")[tool])))),
      this.#whole,
      h("div", { class: "crop-side" },
        square,
        h("div", { class: "row" }, button(t("learn.cropDone"), done, { kind: "primary" }))));
    this.#show();
  }

  focus() {
    this.#box.focus();
  }

  #take(crop) {
    this.#picture.crop = within(this.#picture, crop);
    this.#show();
    this.#changed();
  }

  #show() {
    const picture = this.#picture;
    const crop = cropOf(picture);
    const set = (name, value) => this.#box.style.setProperty(name, `${100 * value}%`);
    set("--left", crop.left / picture.width);
    set("--top", crop.top / picture.height);
    set("--wide", crop.side / picture.width);
    this.#box.setAttribute("aria-label", t("learn.cropBox", { name: picture.name, ...crop }));
    this.#size.value = crop.side;
    const [img, { width }] = [this.#whole.firstChild, this.#seen];
    const draw = () => {
      const context = this.#seen.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(img, crop.left, crop.top, crop.side, crop.side, 0, 0, width, width);
    };
    if (img.complete) draw();
    else img.addEventListener("load", draw, { once: true });
  }

  #key(event) {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { width, height } = this.#picture;
    this.#take(act(cropOf(this.#picture), Math.max(1, Math.round((Math.min(width, height) * (event.shiftKey ? 10 : 2)) / 100))));
  }

  /** Follows the pointer until it is let go: the corner resizes, the rest moves. */
  #drag(event) {
    const [picture, from] = [this.#picture, cropOf(this.#picture)];
    const scale = picture.width / this.#whole.clientWidth;
    const resize = event.target !== this.#box;
    event.preventDefault();
    this.#box.focus();
    drag(this.#box, event, ({ clientX, clientY }) => {
      const [x, y] = [(clientX - event.clientX) * scale, (clientY - event.clientY) * scale];
      if (!resize) return this.#take({ ...from, left: from.left + x, top: from.top + y });
      const room = Math.min(picture.width - from.left, picture.height - from.top);
      this.#take({ ...from, side: Math.min(from.side + Math.max(x, y), room) });
    });
  }
}
