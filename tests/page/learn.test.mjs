// The rooms of starting and teaching, without a model: what is shown, what can be done to pictures, with a mouse and without, and what is
// kept of it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, everywhere, fewExampleSteps, fewPlayed, look, peach, root, start, teach } from "./browser.mjs";
import { played } from "./played.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

const tiles = (page) => page.getByRole("list", { name: "Chosen pictures" });
const names = (page) => tiles(page).getByRole("img").evaluateAll((images) => images.map(({ alt }) => alt));
const focused = (page) => page.evaluate(() => document.activeElement.id);
const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

test("the start says what this is, and the examples tell their own story", { timeout: 120_000 }, async () => {
  const { context, open, errors, requests } = await place.visitor();
  const page = await open();
  await page.getByRole("img", { name: "Four of the pictures that <peach> was learned from" }).waitFor();
  await page.getByRole("radio", { name: "A car" }).press("Space");
  await page.getByRole("button", { name: "Learn <taxi> now" }).waitFor();
  await page.getByRole("img", { name: "Four pictures that were made with <taxi>" }).waitFor();
  // What a large model makes of it, from the paper, and what Stable Diffusion gives, are seen at once, and so are both buttons.
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.getByRole("img", { name: /striped cat/ }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll("#paper img")].every(({ complete, naturalWidth }) => complete && naturalWidth > 0));
  const fold = await page.evaluate(() => document.querySelector(".foot").getBoundingClientRect().top);
  for (const seen of [page.getByText(/at 512 pixels/), page.getByRole("button", { name: /^Learn </ }), page.getByRole("button", { name: "Use my own pictures" })]) {
    const { y, height } = await seen.first().boundingBox();
    assert.ok(y + height <= fold, `${y + height} of ${fold}`);
  }
  await accessible(page, "at the start");
  await look(page, "welcome");
  for (const scheme of ["light", "dark"]) {
    // At once: on its way a colour may have too little contrast.
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    for (const width of [320, 390, 1440, 2560]) {
      await page.setViewportSize({ width, height: 900 });
      assert.ok((await wide(page)) <= 0, `nothing is cut off at ${width}`);
    }
    await accessible(page, `at the start, ${scheme}`);
  }
  const bytes = (await Promise.all(requests.filter((url) => /start\/pictures\//.test(url)).map((url) => fetch(url).then((response) => response.arrayBuffer())))).map(({ byteLength }) => byteLength);
  assert.ok(bytes.reduce((a, b) => a + b) < 80_000, "the pictures of the story are small");
  assert.deepEqual(requests.filter((url) => /pkg\/|\/models\/mini/.test(url)), []);
  assert.deepEqual(errors, []);
  await context.close();
});

test("help opens beside the work, for everybody, in both languages", { timeout: 120_000 }, async () => {
  for (const [locale, link, title] of [["en-US", "Help", "Which model"], ["de-DE", "Hilfe", "Welches Modell"]]) {
    const context = await place.browser.newContext({ locale });
    const page = await context.newPage();
    await page.goto(place.origin);
    const opened = context.waitForEvent("page");
    await page.getByRole("link", { name: link }).click();
    const help = await opened;
    await help.getByRole("heading", { name: title }).waitFor();
    // Of two, `waitFor` would complain.
    await help.getByRole("article").waitFor();
    await everywhere(help, `help, ${locale}`);
    // So does the check of this browser.
    const checking = context.waitForEvent("page");
    await page.locator(".foot a").first().click();
    assert.match((await checking).url(), /\/www\/check\.html$/);
    assert.equal(new URL(page.url()).pathname, "/");
    await context.close();
  }
});

test("pictures are chosen, dropped and pasted, put in order, captioned and removed, by keyboard too", { timeout: 120_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  const page = await open();
  await teach(page, [peach[0]]);
  assert.equal(await page.evaluate(() => document.body.dataset.now), "teach");
  await page.getByPlaceholder("such as toy").waitFor();
  // A caption is invited by what one looks like.
  const caption = page.getByLabel("What noto.png shows");
  assert.equal(await caption.getAttribute("placeholder"), "Caption, such as: a\u00a0{} on a rock");
  await page.getByLabel("What it is").selectOption({ label: "a style" });
  await page.getByPlaceholder("such as painting").waitFor();
  assert.equal(await caption.getAttribute("placeholder"), "Caption, such as: a tree in {} style");
  await page.getByLabel("What it is").selectOption({ label: "a thing" });
  await page.getByLabel("Add pictures").setInputFiles([{ name: "README.md", mimeType: "text/markdown", buffer: Buffer.from("#") }, { name: "IMG_1.HEIC", mimeType: "image/heic", buffer: Buffer.from("x") }, { name: "torn.png", mimeType: "image/png", buffer: Buffer.from("x") }]);
  const refused = page.locator("#pictures-problem");
  for (const text of [/README\.md is not a PNG, JPEG or WebP picture/, /IMG_1\.HEIC is a HEIC picture.*JPEG/, /torn\.png cannot be read/]) await refused.getByText(text).waitFor();
  const transfer = await page.evaluateHandle(([dropped, pasted]) => {
    const carry = (name, data) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type: "image/png" }));
      return transfer;
    };
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carry("pasted.png", pasted) }));
    return carry("flat.png", dropped);
  }, [peach[1], peach[2]].map((path) => readFileSync(path).toString("base64")));
  await tiles(page).getByRole("img", { name: "pasted.png" }).waitFor();
  // Anywhere on the page.
  await page.locator("#words-room").dispatchEvent("drop", { dataTransfer: transfer });
  await tiles(page).getByRole("img", { name: "flat.png" }).waitFor();
  assert.deepEqual(await names(page), ["noto.png", "pasted.png", "flat.png"]);
  assert.equal(await refused.textContent(), "");
  // A picture that carries an embedding is a word, not a picture to learn from.
  const carrying = await page.evaluateHandle((data) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], "carries.png", { type: "image/png" }));
    return transfer;
  }, readFileSync(join(root, "tests/formats/fixtures/picture-text.png")).toString("base64"));
  await page.locator("#teach").dispatchEvent("drop", { dataTransfer: carrying });
  await page.locator("#words > li").waitFor({ timeout: 60_000 });
  assert.deepEqual(await names(page), ["noto.png", "pasted.png", "flat.png"]);

  // Order, by keyboard; the focus stays with what moves.
  await page.getByRole("button", { name: "Move flat.png forward" }).press("Enter");
  assert.deepEqual(await names(page), ["noto.png", "flat.png", "pasted.png"]);
  assert.equal(await page.locator("#announcer").textContent(), "flat.png is now 2 of 3.");
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /flat\.png/);
  await page.getByRole("button", { name: "Remove pasted.png" }).press("Enter");
  assert.deepEqual(await names(page), ["noto.png", "flat.png"]);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Remove flat.png");
  // By dragging.
  await page.locator("#tiles > li").nth(1).dragTo(page.locator("#tiles > li").nth(0));
  // A browser that is busy tells the page of it a moment later.
  await tiles(page).getByRole("img").first().and(page.getByAltText("flat.png")).waitFor();
  assert.deepEqual(await names(page), ["flat.png", "noto.png"]);

  // Captions: typed, or from files; one is not enough, one that belongs to nothing is refused.
  const text = (name, words) => ({ name, mimeType: "text/plain", buffer: Buffer.from(words) });
  await page.getByLabel("Add pictures").setInputFiles([text("NOTO.txt", "a {} on a white background"), text("other.txt", "x")]);
  await refused.getByText("other.txt is a caption, but no picture here has its name").waitFor();
  assert.equal(await page.getByLabel("What noto.png shows").inputValue(), "a {} on a white background");
  // In the colour of warnings where something is lost, and only there.
  const colours = () => page.locator("#add-hint, #caption-note").evaluateAll((all) => all.map((one) => getComputedStyle(one).color));
  await page.getByText("Only 1 of 2 pictures has a caption, so none are used.").waitFor();
  const [plain, warned] = await colours();
  assert.notEqual(warned, plain);
  await page.getByLabel("What flat.png shows").fill("a {} on white");
  await page.getByText("These captions are used").waitFor();
  assert.deepEqual(await colours(), [plain, plain]);
  await accessible(page, "with pictures");
  await look(page, "teach");
  await page.setViewportSize({ width: 320, height: 740 });
  assert.ok((await wide(page)) <= 0, "nothing is cut off on a phone");
  await accessible(page, "with pictures, on a phone");

  // What cannot be used is unfolded, and the browser says why.
  await page.getByLabel("Steps", { exact: true }).first().evaluate((field) => (field.value = "0"));
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.waitForFunction(() => document.activeElement.id === "steps");
  assert.equal(await page.evaluate(() => document.body.dataset.now), "teach");

  // Nothing to learn from: said, and where to begin has the focus.
  for (const name of ["noto.png", "flat.png"]) await page.getByRole("button", { name: `Remove ${name}` }).click();
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.getByText("Add at least one picture first.").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "files");
  assert.deepEqual(errors, []);
  await context.close();
});

test("each picture is cropped in place, and tells what is wrong with it", { timeout: 120_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  const page = await open();
  // Wide, the same again but smaller, blurred, and tiny.
  await teach(page, ["wide.png", "again.png", "blurred.png", "tiny.png"].map((name) => join(root, "tests/page/fixtures", name)));
  const warned = (name) => page.locator("#tiles > li", { has: page.getByRole("img", { name, exact: true }) }).locator(".warnings");
  await warned("again.png").getByText("Looks like wide.png").waitFor();
  await warned("blurred.png").getByText("Looks blurred").waitFor();
  await warned("tiny.png").getByText("Small: 40 pixels where the model sees 64").waitFor();
  assert.equal(await warned("wide.png").textContent(), "");

  await page.getByRole("button", { name: "Crop or mark wide.png" }).press("Enter");
  const box = page.getByRole("application");
  assert.match(await box.getAttribute("aria-label"), /^Square of wide\.png: 200 pixels wide, 50 from the left and 0 from the top$/);
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("-");
  assert.match(await box.getAttribute("aria-label"), /: 192 pixels wide, 50 from the left and 4 from the top$/);
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  assert.match(await box.getAttribute("aria-label"), /: 192 pixels wide, 108 from the left/, "it stays within the picture");
  await accessible(page, "while cropping");
  await look(page, "crop");
  // With the mouse.
  const { x, y, width } = await box.boundingBox();
  await page.mouse.move(x + width / 2, y + width / 2);
  await page.mouse.down();
  await page.mouse.move(x, y + width / 2, { steps: 4 });
  await page.mouse.up();
  await page.getByRole("application", { name: /: 192 pixels wide, (9|1\d) from the left/ }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Crop or mark wide.png");
  assert.equal(await page.getByRole("application").count(), 0);
  assert.deepEqual(errors, []);
  await context.close();
});

test("by touch: an example is chosen, a square is moved with a finger, and a picture is marked", { timeout: 120_000 }, async () => {
  const context = await place.browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await played(context);
  const page = await context.newPage();
  await page.goto(place.origin);
  await page.getByRole("radio", { name: /taxi/ }).tap({ force: true });
  await page.getByRole("button", { name: "Learn <taxi> now" }).waitFor();
  await page.getByRole("button", { name: "Use my own pictures" }).tap();
  await page.getByLabel("Add pictures").setInputFiles(join(root, "tests/page/fixtures/wide.png"));
  await page.getByRole("button", { name: "Crop or mark wide.png" }).tap();
  const box = page.getByRole("application");
  const { x, y, width } = await box.boundingBox();
  const protocol = await context.newCDPSession(page);
  const touch = (type, at) => protocol.send("Input.dispatchTouchEvent", { type, touchPoints: at === undefined ? [] : [{ x: at, y: y + width / 2 }] });
  await touch("touchStart", x + width / 2);
  for (const by of [10, 20, 40, 80]) await touch("touchMove", x + width / 2 - by);
  await touch("touchEnd");
  // It followed the finger.
  await page.getByRole("application", { name: /: 200 pixels wide, 0 from the left/ }).waitFor();
  // What it paints over is not the thing; the page stays where it is.
  await page.getByRole("radio", { name: "Erase" }).press("Space");
  await page.getByText("All of it counts.").waitFor();
  const scrolled = await page.evaluate(() => scrollY);
  await touch("touchStart", x + width / 2);
  for (const by of [10, 20, 40, 80]) await touch("touchMove", x + width / 2 - by);
  await touch("touchEnd");
  await page.getByText(/^[89]\d% of the square is the thing/).waitFor();
  assert.equal(await page.evaluate(() => scrollY), scrolled);
  await context.close();
});

/** A page whose engine is played. */
async function opened(given) {
  const visitor = await place.visitor();
  await played(visitor.context, given);
  return { ...visitor, page: await visitor.open() };
}

/** What stands in the room of teaching. */
const chosen = (page) => page.evaluate(() => ({
  pictures: [...document.querySelectorAll("#tiles > li")].map((tile) => [tile.querySelector("img").alt, tile.querySelector("textarea").value, tile.querySelector(".cropped").getAttribute("style")]),
  fields: [...document.querySelectorAll("#learn :is(input:not([type=file]), select)[id]")].map(({ id, value }) => `${id} ${value}`),
}));
const kept = (page) => page.getByText("Kept in this browser until learned or removed.").waitFor();
const back = async (page) => {
  await page.getByText("From your last visit; kept in this browser").waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll("#tiles img")].every(({ naturalWidth }) => naturalWidth > 0));
};
const nothing = async (page) => {
  await page.locator("body[data-ready]").waitFor();
  assert.equal(await page.evaluate(() => document.body.dataset.now), "welcome");
  assert.equal(await page.locator("#tiles > li").count(), 0);
};

test("what is chosen, cropped, written and set survives a refresh and a crash, each tab by itself, until it is learned or removed", { timeout: 180_000 }, async () => {
  const { context, page: first, open, errors } = await opened({ pause: 5 });
  let page = first;
  let asked = 0;
  context.on("dialog", (dialog) => (asked += 1) && dialog.accept());
  await teach(page, peach);
  await page.getByLabel("What to call it").fill("<mine>");
  await page.getByLabel("Start from").fill("apple");
  await page.getByLabel("What it is").selectOption("style");
  await page.locator("#learn summary").click();
  await page.locator("#steps").fill("12");
  await page.getByRole("button", { name: "Move 3d.png forward" }).click();
  await page.getByLabel("What flat.png shows").fill("a {} that is flat");
  await page.getByRole("button", { name: "Crop or mark noto.png" }).click();
  await page.keyboard.press("-");
  await page.keyboard.press("ArrowLeft");
  await kept(page);
  await page.waitForTimeout(400);
  const before = await chosen(page);
  assert.deepEqual(before.pictures.map(([name]) => name), ["noto.png", "3d.png", "flat.png"]);
  assert.match(before.pictures[0][2], /: 10[1-9]/, "what the square leaves out is kept before the editor is closed");
  await page.reload();
  await back(page);
  assert.deepEqual(await chosen(page), before);
  await everywhere(page, "back");
  await page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is cut off at 320 pixels");

  // A second tab begins with nothing, and keeps its own.
  const second = await open();
  await nothing(second);
  await teach(second, peach.slice(0, 1));
  await second.getByLabel("What to call it").fill("<other>");
  await kept(second);
  await second.waitForTimeout(400);
  for (const [tab, count, word] of [[second, 1, "<other>"], [page, 3, "<mine>"]]) {
    await tab.reload();
    await back(tab);
    assert.deepEqual([await tab.locator("#tiles > li").count(), await tab.getByLabel("What to call it").inputValue()], [count, word]);
  }
  // One press removes them, there and nowhere else.
  await second.getByRole("button", { name: "Remove all" }).click();
  await second.getByText("All chosen pictures were removed.").waitFor();
  assert.equal(await focused(second), "files");
  assert.equal(await second.getByLabel("What to call it").inputValue(), "<my-word>");
  await second.reload();
  await nothing(second);
  await second.close();

  // The tab crashes: the next one has it all. What was torn meanwhile is left out.
  const crash = page.waitForEvent("crash");
  (await context.newCDPSession(page)).send("Page.crash").catch(() => {});
  await crash;
  await page.close();
  page = await open();
  await back(page);
  assert.deepEqual(await chosen(page), before);
  const folder = () => page.evaluate(async () => {
    const drafts = await (await (await navigator.storage.getDirectory()).getDirectoryHandle("kept")).getDirectoryHandle("drafts");
    const ids = await Array.fromAsync(drafts.keys());
    return [ids.length, ids.length > 0 ? (await Array.fromAsync((await drafts.getDirectoryHandle(ids[0])).keys())).sort() : []];
  });
  assert.deepEqual(await folder(), [1, ["0", "1", "2", "draft.json"]]);

  // An example in between takes nothing away.
  await fewExampleSteps(context, { steps: 2, "preview-every": 0 });
  await page.reload();
  await back(page);
  await page.getByRole("button", { name: "Back to examples" }).click();
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  await page.getByRole("button", { name: "Teach another word" }).click();
  await page.locator("#tiles > li").nth(2).waitFor();
  assert.deepEqual((await chosen(page)).pictures, before.pictures);
  // Not even one by the same name.
  await page.locator("#words .word-open").click();
  await page.getByRole("button", { name: "Remove from the shelf: <peach>" }).click();
  await page.getByText("<peach> was removed.").waitFor();
  await page.getByLabel("What to call it").fill("<peach>");
  await page.getByRole("button", { name: "Back to examples" }).click();
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  await page.getByRole("button", { name: "Teach another word" }).click();
  await page.locator("#tiles > li").nth(2).waitFor();
  assert.deepEqual((await chosen(page)).pictures, before.pictures);
  await page.getByLabel("What to call it").fill("<mine>");
  // What is removed is gone from the disk; what is learned, too.
  await page.getByRole("button", { name: "Remove noto.png" }).click();
  await page.waitForTimeout(600);
  assert.deepEqual(await folder(), [1, ["1", "2", "draft.json"]]);
  await fewPlayed(page);
  await page.getByRole("button", { name: "Learn it at 64 pixels" }).click();
  await page.getByRole("heading", { name: "<mine> has been learned" }).waitFor();
  assert.deepEqual(await folder(), [0, []]);
  await page.reload();
  await nothing(page);
  assert.equal(asked, 0, "nobody is asked about what is kept");
  assert.deepEqual(errors, []);
  await context.close();
});

test("pictures that cannot be kept, or are damaged, are said and asked about", { timeout: 120_000 }, async () => {
  let { context, page, open, errors } = await opened();
  // Half of it is there.
  await teach(page, peach.slice(0, 2));
  await kept(page);
  await page.evaluate(async () => {
    const drafts = await (await (await navigator.storage.getDirectory()).getDirectoryHandle("kept")).getDirectoryHandle("drafts");
    for await (const draft of drafts.values()) await draft.removeEntry("0");
  });
  await page.reload();
  await back(page);
  assert.deepEqual((await chosen(page)).pictures.map(([name]) => name), ["flat.png"]);
  await page.evaluate(async () => {
    const drafts = await (await (await navigator.storage.getDirectory()).getDirectoryHandle("kept")).getDirectoryHandle("drafts");
    for await (const draft of drafts.values()) {
      const file = await (await draft.getFileHandle("draft.json")).createWritable();
      await file.write("{torn");
      await file.close();
    }
  });
  await page.reload();
  await nothing(page);
  // No room, or no storage at all.
  for (const block of [
    () => (FileSystemWritableFileStream.prototype.write = () => Promise.reject(new Error("played"))),
    () => (StorageManager.prototype.getDirectory = () => Promise.reject(new Error("played"))),
  ]) {
    await context.addInitScript(block);
    page = await open();
    await nothing(page);
    await teach(page, peach.slice(0, 1));
    await page.getByText("This browser does not keep them, so leave this tab open: played").waitFor();
    const [question, gone] = [page.waitForEvent("dialog"), page.waitForEvent("close")];
    page.close({ runBeforeUnload: true });
    const dialog = await question;
    assert.equal(dialog.type(), "beforeunload");
    await dialog.accept();
    await gone;
  }
  assert.deepEqual(errors, []);
  await context.close();
});
