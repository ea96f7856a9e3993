// The pictures that a word is learned from: chosen, dropped or pasted, shown as the model will see them, and removed again.

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const LARGEST = 64 << 20;

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

/** Lets pictures be put into `place`, lists them in `list`; `changed` is told, `refuse` gets what cannot be used. */
export class PicturePicker {
  #files = [];

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
    return this.#files.length;
  }

  add(files) {
    const refused = [];
    for (const file of files) {
      if (!TYPES.includes(file.type)) refused.push(`${file.name} is not a PNG, JPEG or WebP picture`);
      else if (file.size > LARGEST) refused.push(`${file.name} is larger than 64 MB`);
      else this.#show(file);
    }
    this.refuse(refused.join("; "));
    this.changed();
  }

  #show(file) {
    this.#files.push(file);
    const remove = button("Remove", () => {
      this.#files.splice(this.#files.indexOf(file), 1);
      URL.revokeObjectURL(item.querySelector("img").src);
      item.remove();
      this.changed();
    }, `Remove ${file.name}`);
    const item = pictureItem(file, file.name, remove);
    this.list.append(item);
  }

  /** The files for the engine. */
  read() {
    return Promise.all(this.#files.map(async (file) => ({ name: file.name, bytes: await file.arrayBuffer() })));
  }
}
