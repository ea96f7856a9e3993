// What is learned from a picture: what of it is the thing, marked by hand or found, and its caption, written or suggested; with a played engine.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { everywhere, fewPlayed, peach, start, teach } from "./browser.mjs";
import { played } from "./played.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

/** A page whose engine is played, and in which it is noted how much moves by itself. */
async function opened(given) {
  const visitor = await place.visitor();
  await visitor.context.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ value, hadRecentInput }) => hadRecentInput || (window.shift += value))).observe({ type: "layout-shift", buffered: true });
  });
  await played(visitor.context, given);
  return { ...visitor, page: await visitor.open() };
}

/** What was chosen at the last visit is there again. */
const back = (page) => page.getByText("From your last visit; kept in this browser").waitFor();

/** What stands in the editor of what is marked; and marks with the mouse, from a place to another, in shares of the picture. */
const marked = (page, text) => page.locator(".crop [role=status]").getByText(text).waitFor();
async function brush(page, from, to) {
  const { x, y, width, height } = await page.locator(".marks").boundingBox();
  await page.mouse.move(x + from[0] * width, y + from[1] * height);
  await page.mouse.down();
  await page.mouse.move(x + to[0] * width, y + to[1] * height, { steps: 6 });
  await page.mouse.up();
}

/** The mask of the first picture, as it is shown: how much of its left and of its right half is marked. */
const halves = (page) => page.evaluate(async () => {
  const [, address] = /url\("(data:[^"]+)"\)/.exec(document.querySelector("#tiles .cropped > img").style.maskImage);
  const img = Object.assign(new Image(), { src: address });
  await img.decode();
  const canvas = new OffscreenCanvas(img.naturalWidth, img.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(img, 0, 0);
  const share = (left) => {
    const { data } = context.getImageData(left, 0, canvas.width / 2, canvas.height);
    return data.filter((value, i) => i % 4 === 3 && value > 127).length / (data.length / 4);
  };
  return [share(0), share(canvas.width / 2)];
});

test("what of a picture is the thing is found, or marked by hand; that is kept, and learned from, also by a run that goes on", { timeout: 120_000 }, async () => {
  const { context, page: first, open, errors } = await opened({ pause: 20 });
  let page = first;
  await teach(page, peach);
  // By keyboard alone.
  await page.getByRole("button", { name: "Crop or mark noto.png" }).press("Enter");
  await page.getByRole("radio", { name: "Crop" }).focus();
  await page.keyboard.press("ArrowRight");
  await marked(page, "All of it counts.");
  assert.ok(await page.getByRole("application").isHidden(), "there is one tool at a time");
  assert.ok(await page.getByRole("button", { name: "Undo" }).isDisabled());
  await page.getByRole("button", { name: "Find it" }).press("Enter");
  await marked(page, /^50% of the square is the thing.*This may be wrong/);
  assert.deepEqual(await halves(page), [1, 0]);
  await page.getByRole("button", { name: "Invert" }).press("Enter");
  await marked(page, /^50%[^.]*\.\s*$/);
  assert.deepEqual(await halves(page), [0, 1]);
  await page.getByRole("button", { name: "All of it" }).press("Enter");
  await page.getByRole("button", { name: "Invert" }).press("Enter");
  await marked(page, "Nothing is marked, so all of it counts.");
  for (let times = 0; times < 3; times++) await page.getByRole("button", { name: "Undo" }).press("Enter");
  assert.deepEqual(await halves(page), [1, 0]);
  assert.ok((await page.evaluate(() => shift)) < 0.02, "nothing moves by itself");
  await everywhere(page, "marks");
  await page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is cut off at 320 pixels");
  // On a phone the buttons that stay in view would cover it.
  const [editor, buttons] = await Promise.all([".crop", "#learn .at-hand"].map((one) => page.locator(one).boundingBox()));
  assert.ok(buttons.y >= editor.y + editor.height, JSON.stringify([editor, buttons]));
  await page.setViewportSize({ width: 1000, height: 900 });
  // With the mouse: painted on the right, and taken away on the left; what is below the brush, and not more.
  await brush(page, [0.7, 0.5], [0.8, 0.5]);
  const [left, right] = await halves(page);
  assert.ok(left === 1 && right > 0.03 && right < 0.12, `${right}`);
  await page.getByRole("radio", { name: "Erase" }).press("Space");
  await brush(page, [0.1, 0.2], [0.3, 0.2]);
  const [less, same] = await halves(page);
  assert.ok(less > 0.8 && less < 0.96 && same === right, `${less}`);
  // Who presses Enter in it is done, and does not learn yet.
  await page.getByRole("radio", { name: "Erase" }).press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Crop or mark noto.png");
  await page.getByText("Kept in this browser until learned or removed.").waitFor();
  await page.waitForTimeout(400);
  await page.reload();
  await back(page);
  assert.deepEqual(await halves(page), [less, same]);
  await page.getByRole("button", { name: "Crop or mark noto.png" }).click();
  await page.getByRole("radio", { name: "Mark" }).press("Space");
  await marked(page, /^\d\d% of the square/);
  await page.keyboard.press("Escape");
  await page.locator("#language").selectOption({ label: "Deutsch" });
  await page.getByRole("button", { name: "noto.png zuschneiden oder markieren" }).click();
  await page.getByRole("radio", { name: "Markieren" }).press("Space");
  await marked(page, /^\d\d % des Quadrats sind das Ding/);
  await page.locator("#language").selectOption({ label: "English" });
  await back(page);

  // It is learned from, and what a run that was left goes on with is the same.
  const trained = () => page.evaluate(() => (window.trained = new Promise((resolve) => (new BroadcastChannel("train").onmessage = ({ data }) => resolve(data.pictures)))) && undefined);
  const masks = async () => (await page.evaluate(() => window.trained)).map(({ name, mask }) => [name, mask?.slice(0, 22), mask?.length]);
  await page.locator("#learn summary").click();
  await page.locator("#steps").fill("200");
  await trained();
  await page.getByRole("button", { name: "Learn it at 64 pixels" }).click();
  const begun = await masks();
  assert.deepEqual(begun.map(([name, begins]) => [name, begins]), [["noto.png", "data:image/png;base64,"], ["flat.png", undefined], ["3d.png", undefined]]);
  await page.getByText(/^Saved after step/).waitFor();
  await page.close({ runBeforeUnload: false });
  page = await open();
  await page.getByText(/^Learning <my-word> stopped at step/).waitFor();
  await trained();
  await page.getByRole("button", { name: "Resume" }).click();
  assert.deepEqual(await masks(), begun);
  assert.deepEqual(await halves(page), [less, same]);
  assert.match(await page.locator("#own-shown img").evaluate((img) => img.style.maskImage), /^url/, "and is seen beside what is drawn");
  assert.deepEqual(errors, []);
  await context.close();
});

test("captions are suggested where there are none, changed, and learned from; what is usual for the model is said", { timeout: 120_000 }, async () => {
  const { context, page, errors } = await opened();
  await teach(page, peach);
  await page.locator("#learn summary").click();
  await page.getByText("Usual for pseudoword's mini model: Steps 600, Vectors 4", { exact: true }).waitFor();
  await page.getByLabel("What flat.png shows").fill("a {} of mine");
  await page.getByRole("button", { name: "Suggest captions" }).click();
  await page.getByText("Captions for 1 of 2 pictures: change what is wrong. In the others, nothing was clear.").first().waitFor();
  const captions = () => page.locator("#tiles textarea").evaluateAll((fields) => fields.map(({ value }) => value));
  assert.deepEqual(await captions(), ["a drawing of {} 0", "a {} of mine", ""]);
  await everywhere(page, "suggested");
  await page.getByText("Only 2 of 3 pictures have captions, so none are used.").waitFor();
  await page.getByLabel("What noto.png shows").fill("a {} on white");
  await page.getByLabel("What 3d.png shows").fill("a {} in 3d");
  assert.ok(await page.getByRole("button", { name: "Suggest captions" }).isHidden(), "there is nothing to suggest");
  const learned = page.evaluate(() => new Promise((resolve) => (new BroadcastChannel("train").onmessage = ({ data }) => resolve(data.pictures.map(({ caption }) => caption)))));
  await fewPlayed(page);
  await page.getByRole("button", { name: "Learn it at 64 pixels" }).click();
  assert.deepEqual(await learned, ["a {} on white", "a {} of mine", "a {} in 3d"]);
  // What was said of them goes with them.
  await page.getByRole("button", { name: "Teach another word" }).click();
  assert.equal(await page.locator("#suggested-captions").textContent(), "");
  assert.deepEqual(errors, []);
  await context.close();
});
