// The page as visitors get it has short names for its elements (tools/web/names.mjs), and tests look for them by their long ones: here it is
// shown that they look the same, and are called the same.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fewSteps, peach, start, teach } from "./browser.mjs";
import { played } from "./played.mjs";

let place;

before(async () => (place = await start({ sources: true })));
after(() => place?.close());

/** How everything in a page looks, shown or not, and what it is called. */
const looks = (page) => page.evaluate(async () => {
  const wanted = ["display", "visibility", "position", "color", "backgroundColor", "borderTopColor", "borderTopWidth", "borderTopLeftRadius", "paddingTop", "paddingLeft", "fontSize", "fontWeight", "opacity", "cursor", "gap", "overflowX", "zIndex"];
  return [...document.querySelectorAll("body, body *")].map((element) => {
    const style = getComputedStyle(element);
    const called = ["labelledby", "describedby"].map((how) => (element.getAttribute(`aria-${how}`) ?? "").split(" ").map((id) => id && document.getElementById(id)?.localName));
    return [element.localName, Boolean(element.id), element.labels?.length, called, ...wanted.map((name) => style[name])].join();
  });
});

test("short names of elements change nothing", { timeout: 120_000 }, async () => {
  const seen = [];
  for (const at of ["", "assembled/"]) {
    const context = await place.browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
    await played(context);
    const page = await context.newPage();
    await page.goto(`${place.origin}/${at}`);
    await page.locator("body[data-ready]:not([data-ready=seen])").waitFor();
    // How fast this GPU is: on a busy machine a trial may tell nothing, and the plan has a line less.
    await page.evaluate(() => localStorage.setItem("pseudoword-pace", JSON.stringify({ "stable-diffusion-v1-5/stable-diffusion-v1-5": 0.5 })));
    const states = [];
    const note = async () => {
      // Nothing is under the mouse: what a click left below it may move away, and is no longer lit as soon as the browser notices.
      await page.mouse.move(0, 0);
      // Nothing is on its way any more.
      await page.waitForFunction(() => !document.querySelector("[aria-busy=true], article img:not([src])") && document.getAnimations().length === 0);
      states.push(await looks(page));
    };
    await note();
    await teach(page, peach);
    await page.getByText("Kept in this browser").waitFor();
    await page.getByRole("button", { name: "Crop or mark noto.png" }).click();
    await page.getByRole("radio", { name: "Mark" }).press("Space");
    await page.getByText("All of it counts.").waitFor();
    await note();
    await page.keyboard.press("Escape");
    await fewSteps(page, 2);
    await page.getByRole("button", { name: "Use Stable Diffusion" }).click();
    await page.getByRole("button", { name: /^Download/ }).waitFor();
    await note();
    await page.getByRole("button", { name: "Learn it at 64 pixels" }).click();
    await page.getByRole("heading", { name: "<my-word> has been learned" }).waitFor();
    await page.getByRole("button", { name: "Make pictures with it" }).click();
    await page.getByRole("button", { name: "Make", exact: true }).click();
    await page.locator("article:not([aria-busy]) img[src]").first().waitFor();
    // The last picture is there before the engine is free.
    await page.getByRole("button", { name: "Make", exact: true }).waitFor();
    await page.getByText("<my-word> is not one of your words.").waitFor();
    await note();
    await page.getByRole("button", { name: "Import" }).click();
    await page.getByRole("dialog").waitFor();
    await note();
    seen.push(states);
    await context.close();
  }
  const [sources, short] = seen;
  for (const [i, state] of sources.entries()) {
    assert.equal(short[i].length, state.length, `state ${i}`);
    assert.deepEqual(state.flatMap((look, n) => (look === short[i][n] ? [] : [[look, short[i][n]]])), [], `state ${i}`);
  }
  assert.ok(sources.every((state) => state.length > 300), `${sources.map(({ length }) => length)}`);
});
