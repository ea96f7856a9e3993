// Images that hold memory only while they are in view: their files stay in the storage until then.

import { h } from "../base/dom.js";

/** What each image shows: a function that gives its file. */
const files = new WeakMap();
const near = new WeakSet();

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) appear(target);
    else vanish(target);
  }
}, { rootMargin: "400px", scrollMargin: "400px" });

async function appear(img) {
  near.add(img);
  if (img.src) return;
  const file = await files.get(img)().catch(() => undefined);
  if (file && near.has(img) && !img.src) img.src = URL.createObjectURL(file);
}

function vanish(img) {
  near.delete(img);
  if (!img.src) return;
  URL.revokeObjectURL(img.src);
  img.removeAttribute("src");
}

/** An image of a file that `file()` gives when it is needed. */
export function lazyImage(file, alt) {
  const img = h("img", { alt, decoding: "async" });
  files.set(img, file);
  watch.observe(img);
  return img;
}

/** Gives back what the images in an element hold, before it is removed. */
export function forgetImages(element) {
  for (const img of element.querySelectorAll("img")) {
    watch.unobserve(img);
    vanish(img);
  }
}

/** After an element was put back. */
export function watchImages(element) {
  for (const img of element.querySelectorAll("img")) if (files.has(img)) watch.observe(img);
}
