// Small things to build the page from.

export const $ = (id) => document.getElementById(id);

/** An element with properties (`class`, `on...` listeners, `data-` and `aria-` attributes, else properties) and children; those that are
 * nothing are left out. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (/^(aria-|data-)/.test(key) || ["class", "role", "for", "list"].includes(key)) element.setAttribute(key, value === true ? "" : value);
    else element[key] = value;
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== false && child !== null));
  return element;
}

/** How much of the window is there for a place, about. */
const ROOM = 0.8;

/** Brings a place into view, or as much from its top as there is room for, with the focus on something in it. At once: what moves is missed by who
 * presses it. */
export function showUp(place, focus) {
  focus.focus({ preventScroll: true });
  place.scrollIntoView({ block: place.offsetHeight < ROOM * innerHeight ? "nearest" : "start" });
}

/** What screen readers say of a button where its text alone does not tell which thing it is about. */
export const about = (text, thing) => `${text}: ${thing}`;

/** A button. `of` is which thing it is about, where its text alone does not tell; or `label` is what screen readers say. */
export function button(text, onclick, { of, label = of && about(text, of), kind } = {}) {
  return h("button", { type: "button", class: kind, "aria-label": label, onclick }, text);
}

/** Calls `use` with files whenever some are chosen in a field, which is empty again then, so that the same can be chosen once more. */
export function picked(id, use) {
  $(id).addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = "";
    if (files.length > 0) use(files);
  });
}

/** What is known of something, as terms and values: `rows` has the values by the keys of the terms, which `term(key)` says. */
export const terms = (rows, term) => Object.entries(rows).filter(([, value]) => value || value === 0).flatMap(([key, value]) => [h("dt", {}, term(key)), h("dd", {}, `${value}`)]);

const SVG = "http://www.w3.org/2000/svg";

/** An element of a drawing. */
export function shape(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A drawing of one line. */
export const icon = (path) => shape("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, shape("path", { d: path }));

/** A button that is only a drawing; `label` says what it does, and to what. */
export const iconButton = (path, label, onclick, { kind = "icon", ...more } = {}) => h("button", { type: "button", class: kind, "aria-label": label, title: label, onclick, ...more }, icon(path));

/** An image of a file; its address is given back when the image is gone from the page for good: see `release`. */
export function image(blob, alt, properties = {}) {
  return h("img", { src: URL.createObjectURL(blob), alt, decoding: "async", ...properties });
}

/** Gives back the memory of the images in an element that is removed. */
export function release(element) {
  for (const img of element.querySelectorAll("img")) if (img.src.startsWith("blob:")) URL.revokeObjectURL(img.src);
  element.remove();
}

/** Hands a file to the user. */
export function save(bytes, name, type = "application/octet-stream") {
  const link = h("a", { href: URL.createObjectURL(new Blob([bytes], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The hue of a name. */
function hue(name) {
  let sum = 7;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

/** A picture for what has none: a colour and a letter of its own, the same every time. */
export function swatch(name) {
  const letter = /[\p{L}\p{N}]/u.exec(name.split("/").at(-1))?.[0] ?? "·";
  const element = h("span", { class: "swatch", "aria-hidden": "true" }, letter.toUpperCase());
  element.style.setProperty("--hue", hue(name));
  return element;
}
