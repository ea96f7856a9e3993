// The pictures that an embedding is learned from: chosen, dropped or pasted, shown as the model will see them, and removed again.

// Without a type is what has no ending that the browser knows: the engine looks at its content.
const TYPES = ["image/png", "image/apng", "image/jpeg", "image/webp", ""];
const LARGEST = 64 << 20;
const CAPTION = 64 << 10;
// Names are the same in any case and in any normal form of Unicode: some systems take accents apart.
const same = (name) => name.normalize("NFD").toLowerCase().normalize("NFD");
const stem = (name) => same(name.replace(/\.[^.]*$/, ""));

/** An image in a list, with what belongs under it. */
export function pictureItem(blob, alt, ...below) {
  const item = document.createElement("li");
  const image = document.createElement("img");
  image.src = URL.createObjectURL(blob);
  image.alt = alt;
  item.append(image, ...below);
  return item;
}

/** A button. */
export function button(text, action, label) {
  const element = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  if (label) element.setAttribute("aria-label", label);
  element.addEventListener("click", action);
  return element;
}

/** Lets pictures, and captions (`name.txt`), be put into `place`, lists them in `list`; `changed` is called after each change, `refuse` gets what cannot be used. */
export class PicturePicker {
  /** `{file, item, caption?}`. */
  #pictures = [];

  constructor({ input, place, list, changed, refuse }) {
    Object.assign(this, { list, changed, refuse });
    input.addEventListener("change", () => {
      this.add([...input.files]);
      // So that the same file can be chosen again after it was removed.
      input.value = "";
    });
    place.addEventListener("dragover", (event) => event.preventDefault());
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", ({ clipboardData }) => this.add([...(clipboardData?.files ?? [])]));
  }

  get count() {
    return this.#pictures.length;
  }

  async add(files) {
    const refused = [];
    const captions = files.filter(({ name }) => /\.(txt|caption)$/i.test(name));
    for (const file of files.filter((file) => !captions.includes(file))) {
      if (!TYPES.includes(file.type)) refused.push(`${file.name} is not a PNG, JPEG or WebP picture`);
      else if (file.size > LARGEST) refused.push(`${file.name} is larger than 64 MB`);
      else this.#show(file);
    }
    // The pictures first: a caption belongs to one.
    for (const file of captions) {
      const picture = this.#pictures.find(({ file: { name } }) => [stem(name), same(name)].includes(stem(file.name)));
      if (!picture) refused.push(`${file.name} is a caption, but no picture here has its name`);
      else if (file.size > CAPTION) refused.push(`${file.name} is too long for a caption`);
      else {
        const text = (await file.text()).trim();
        if (/[\0\ufffd]/.test(text)) refused.push(`${file.name} is not UTF-8 text: save it again as UTF-8`);
        else this.#caption(picture, text);
      }
    }
    this.refuse(refused.join("; "));
    this.changed();
  }

  /** Pictures that have a caption. */
  get captioned() {
    return this.#pictures.filter(({ caption }) => caption !== undefined).length;
  }

  #show(file) {
    const picture = { file };
    const remove = button("Remove", () => {
      this.#pictures.splice(this.#pictures.indexOf(picture), 1);
      URL.revokeObjectURL(picture.item.querySelector("img").src);
      picture.item.remove();
      this.changed();
    }, `Remove ${file.name}`);
    picture.item = pictureItem(file, file.name, remove);
    this.#pictures.push(picture);
    this.list.append(picture.item);
  }

  #caption(picture, text) {
    picture.caption = text;
    const shown = picture.item.querySelector("small") ?? document.createElement("small");
    shown.textContent = text;
    picture.item.querySelector("img").after(shown);
  }

  /** The pictures for the engine. Captions count if every picture has one, as in the terminal. */
  read() {
    const all = this.captioned === this.count;
    return Promise.all(this.#pictures.map(async ({ file, caption }) => (
      { name: file.name, bytes: await file.arrayBuffer(), ...(all && { caption }) }
    )));
  }
}
