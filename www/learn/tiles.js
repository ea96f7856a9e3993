// The pictures that a word is learned from, as tiles: shown as the model will see them, in the order that they are taken in, each
// with its caption, its square, and what is worth knowing about it.

import { $, h, iconButton } from "../base/dom.js";
import { announce, call } from "../base/studio.js";
import { t } from "../base/text.js";
import { captioned, captionText, examined, isCaption, refused } from "./examine.js";
import { cropped, Editor, place } from "./crop.js";

const ICONS = {
  crop: "M7 2v15h15M2 7h15v15",
  earlier: "M15 5l-7 7 7 7",
  later: "M9 5l7 7-7 7",
  remove: "M6 6l12 12M18 6 6 18",
};

/** What a caption looks like, by what is learned. */
const holder = () => t("learn.captionHolder", $("kind").value);

const tool = (icon, label, act) => iconButton(ICONS[icon], label, act, { "data-tool": icon });

export class Tiles {
  /** `{file, name, url, width, height, crop?, mask?, caption, item}`. */
  #pictures = [];
  #list;
  #refuse;
  #changed;
  #seen;
  /** Counts looks at the pictures: only the last one is told. */
  #looks = 0;

  /** `list` gets the tiles, `refuse` what cannot be used, in words; `changed` is called after each change; `seen()` is the side in
   * pixels that the model sees. */
  constructor({ list, refuse, changed, seen }) {
    this.#list = list;
    this.#refuse = refuse;
    this.#changed = changed;
    this.#seen = seen;
  }

  get pictures() {
    return this.#pictures;
  }

  /** Pictures that have a caption. */
  get captioned() {
    return this.#pictures.filter(({ caption }) => caption).length;
  }

  /** Takes other pictures in place of what is there: `{file, caption?, crop?, mask?}`, with `width` and `height` if they are known. */
  async set(given) {
    for (const picture of this.#pictures) URL.revokeObjectURL(picture.url);
    this.#pictures = [];
    this.#list.replaceChildren();
    for (const one of given) await this.#take(one);
    this.settle();
  }

  /** Adds pictures, and captions of those that are there; tells what cannot be, after `others`. */
  async add(files, others) {
    const problems = [...others];
    for (const file of files.filter((file) => !isCaption(file))) {
      const reason = refused(file) ?? (await this.#take({ file }));
      if (reason) problems.push(reason);
    }
    // The pictures first: a caption belongs to one.
    for (const file of files.filter(isCaption)) {
      const picture = captioned(this.#pictures, file);
      const { text, reason } = picture ? await captionText(file) : { reason: t("learn.refuse.lone", file.name) };
      if (reason) problems.push(reason);
      else this.caption(picture, text);
    }
    this.#refuse(problems.join("\n"));
    this.settle();
  }

  /** Gives a picture a caption. */
  caption(picture, text) {
    picture.item.querySelector("textarea").value = picture.caption = text;
    this.#changed();
  }

  /** Adds a picture; gives why it cannot be. */
  async #take({ file, caption = "", crop, mask, ...size }) {
    const url = URL.createObjectURL(file);
    try {
      if (!size.width) {
        const img = h("img", { src: url });
        await img.decode();
        size = { width: img.naturalWidth, height: img.naturalHeight };
      }
    } catch {
      URL.revokeObjectURL(url);
      return t("learn.refuse.broken", file.name);
    }
    const picture = { file, name: file.name, url, width: size.width, height: size.height, caption, crop, mask };
    picture.item = this.#tile(picture);
    this.#pictures.push(picture);
    this.#list.append(picture.item);
    return undefined;
  }

  #tile(picture) {
    const { name } = picture;
    const item = h("li", { class: "tile", draggable: true, ondragstart: (event) => this.#lift(event, picture), ondragend: () => item.classList.remove("lifted"),
      ondragover: (event) => this.#over(event, item) },
      h("div", { class: "tile-picture" },
        cropped(picture, name),
        h("div", { class: "tile-tools" },
          tool("crop", t("learn.cropOf", name), () => this.#crop(picture)),
          tool("earlier", t("learn.earlier", name), () => this.#move(picture, -1)),
          tool("later", t("learn.later", name), () => this.#move(picture, 1)),
          tool("remove", t("learn.remove", name), () => this.#remove(picture)))),
      h("ul", { class: "plain warnings" }),
      h("textarea", { rows: 2, placeholder: holder(), "aria-label": t("learn.captionOf", name), value: picture.caption, spellcheck: false,
        oninput: ({ target }) => {
          picture.caption = target.value.trim();
          this.#changed();
        } }));
    return item;
  }

  /** Invites to captions for what is learned now. */
  invite() {
    for (const field of this.#list.querySelectorAll("textarea")) field.placeholder = holder();
  }

  #crop(picture) {
    const open = picture.item.querySelector(".crop");
    for (const other of this.#list.querySelectorAll(".crop")) this.#closeCrop(other);
    if (open) return;
    const editor = new Editor(picture, {
      seen: this.#seen(),
      usual: () => ({ kind: $("kind").value }),
      // All pictures of the thing tell more of it than one.
      find: async (config) => {
        const some = config.masks ? this.#pictures : [picture];
        return (await call("tools.masks", config, await this.read(some)))[some.indexOf(picture)];
      },
      changed: () => {
        place(picture.item.querySelector(".cropped"), picture);
        this.#changed();
      },
      done: () => {
        this.#closeCrop(editor.element);
        picture.item.querySelector("[data-tool=crop]").focus();
      },
    });
    picture.item.classList.add("cropping");
    picture.item.draggable = false;
    picture.item.querySelector(".tile-picture").after(editor.element);
    editor.focus();
  }

  #closeCrop(element) {
    const item = element.closest("li");
    item.classList.remove("cropping");
    item.draggable = true;
    element.remove();
    this.settle();
  }

  #move(picture, by) {
    const to = this.#pictures.indexOf(picture) + by;
    this.#put(picture, to);
    announce(t("learn.moved", { name: picture.name, at: to + 1, of: this.#pictures.length }));
  }

  #put(picture, to) {
    const from = this.#pictures.indexOf(picture);
    if (to < 0 || to >= this.#pictures.length || to === from) return;
    const focused = document.activeElement;
    this.#pictures.splice(from, 1);
    this.#pictures.splice(to, 0, picture);
    this.#list.insertBefore(picture.item, this.#pictures[to + 1]?.item ?? null);
    if (picture.item.contains(focused)) focused.focus();
    this.settle();
  }

  #lift(event, picture) {
    if (event.target !== picture.item) return;
    this.lifted = picture;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/x-tile", picture.name);
    picture.item.classList.add("lifted");
  }

  /** What is lifted goes where the pointer is. */
  #over(event, item) {
    if (!event.dataTransfer.types.includes("text/x-tile")) return;
    event.preventDefault();
    const to = this.#pictures.findIndex((picture) => picture.item === item);
    if (this.lifted && this.lifted.item !== item) this.#put(this.lifted, to);
  }

  #remove(picture) {
    const at = this.#pictures.indexOf(picture);
    this.#pictures.splice(at, 1);
    URL.revokeObjectURL(picture.url);
    picture.item.remove();
    // The focus goes to what took its place.
    const next = this.#pictures[Math.min(at, this.#pictures.length - 1)];
    (next?.item.querySelector("[data-tool=remove]") ?? $("files")).focus();
    this.settle();
  }

  /** Looks at all of it again. */
  settle() {
    this.#changed();
    this.look();
  }

  /** Looks at the pictures and tells what is worth knowing about each. */
  async look() {
    const look = ++this.#looks;
    const pictures = [...this.#pictures];
    const found = await examined(pictures, this.#seen()).catch(() => []);
    if (look !== this.#looks) return;
    for (const [i, warnings] of found.entries()) {
      pictures[i].item.querySelector(".warnings").replaceChildren(...warnings.map((text) => h("li", { class: "warning" }, text)));
    }
  }

  /** The pictures for the engine; captions count if every picture has one, as in the terminal. Of `some` only what is seen. */
  read(some) {
    const all = !some && this.captioned === this.#pictures.length;
    return Promise.all((some ?? this.#pictures).map(async ({ file, name, caption, crop, mask }) => (
      { name, bytes: await file.arrayBuffer(), caption: all ? caption : undefined, crop, mask: some ? undefined : mask }
    )));
  }
}
