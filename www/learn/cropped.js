// Squares of pictures: what of a picture the model sees. A crop is `{left, top, side}` in pixels of the upright picture.

import { h } from "../base/dom.js";

/** What the engine takes where nobody chose: the largest square in the middle. */
export function middle({ width, height }) {
  const side = Math.min(width, height);
  return { left: (width - side) >> 1, top: (height - side) >> 1, side };
}

export const cropOf = (picture) => picture.crop ?? middle(picture);

/** Shows only the square of a picture in an element of the class `cropped`. */
export function place(element, picture) {
  const { left, top, side } = cropOf(picture);
  const set = (name, value) => element.style.setProperty(name, `${100 * value}%`);
  set("--wide", picture.width / side);
  set("--left", -left / side);
  set("--top", -top / side);
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
