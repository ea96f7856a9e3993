// Learning as somebody watches it, with a played engine: every state, every way out of it, and what stays of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, everywhere, fewExampleSteps, fewPlayed, filled, firstStep, peach, pressAfterStep, start, teach } from "./browser.mjs";
import { played } from "./played.mjs";

let place;

before(async () => (place = await start({ sources: true })));
after(() => place?.close());

/** A page whose engine is played. */
async function opened(given) {
  const visitor = await place.visitor();
  await played(visitor.context, given);
  return { ...visitor, page: await visitor.open() };
}

/** Nothing is cut off on the narrowest phone. */
async function narrow(page) {
  await page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is cut off at 320 pixels");
  await page.setViewportSize({ width: 1000, height: 900 });
}

const announced = (page) => page.locator("#announcer").textContent();
const focused = (page) => page.evaluate(() => document.activeElement.id);
const previews = (page) => page.getByRole("slider", { name: "Previews by step" });

test("the example is watched, paused, looked back at and kept", { timeout: 120_000 }, async () => {
  const { context, page, errors } = await opened({ pause: 25, warnings: [["few-pictures", "only 3 pictures"], ["no-effect", "“Seed” has none"], ["no-effect", "“Steps” has none"], ["played", "and one without a code"]] });
  await fewExampleSteps(context, { steps: 40, "preview-every": 5 });
  await page.reload();
  await pressAfterStep(page, 8, "pause");
  await page.getByRole("button", { name: "Learn <peach> now" }).waitFor();
  // At once: it goes on to the buttons as soon as there are any.
  assert.equal(await page.evaluate(() => (document.getElementById("learn-example").click(), document.activeElement.id)), "learning-title");
  await page.getByText("Saved after step 8").waitFor();
  await page.getByRole("img", { name: "Preview at step 5" }).waitFor();
  await page.locator("#time-left").getByText(/^about .* left$/).waitFor();
  // Several warnings stay, in the page's words where it has some; the engine's are below.
  // Folded and counted, so that what is learned stays in view.
  const lines = page.locator("#run-warnings > div");
  assert.ok(await lines.first().isHidden());
  await page.getByText("3 things worth knowing").click();
  assert.equal(await lines.count(), 3);
  await lines.nth(0).getByText(/^That is not many pictures: from three to five/).waitFor();
  assert.equal(await lines.nth(2).textContent(), "and one without a code");
  await lines.nth(1).getByText("Details").click();
  await lines.nth(1).getByText("“Steps” has none").waitFor();
  assert.deepEqual(await lines.nth(1).locator("[lang=en]").allTextContents(), ["“Seed” has none", "“Steps” has none"]);
  assert.equal(await announced(page), "Paused.");
  assert.equal(await page.title(), "[paused] pseudoword");
  const status = await page.locator("#train-status").textContent();
  await page.waitForTimeout(300);
  assert.equal(await page.locator("#train-status").textContent(), status, "it waits");
  await everywhere(page, "learning");

  // One's own picture beside it can be another one.
  const other = page.getByRole("button", { name: "Compare with flat.png" });
  await other.click();
  assert.equal(await other.getAttribute("aria-pressed"), "true");
  await page.locator("#own-shown").getByRole("img", { name: "flat.png" }).waitFor();
  // Looking back, the page does not run ahead.
  await previews(page).press("Home");
  await page.getByRole("img", { name: "Preview at step 0" }).waitFor();
  await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).click();
  await page.waitForFunction(() => document.getElementById("timeline").max >= 4);
  assert.equal(await previews(page).inputValue(), "0");
  await page.getByRole("img", { name: "Preview at step 0" }).waitFor();
  await page.getByText("As numbers").click();
  await page.getByRole("columnheader", { name: "evaluation loss" }).waitFor();

  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor({ timeout: 60_000 });
  assert.equal(await focused(page), "learning-title");
  assert.equal(await page.title(), "pseudoword");
  assert.match(await page.locator("#verdict").textContent(), /^It worked: <peach> comes much closer to your pictures than “apple” did\. Look at what it draws/);
  assert.equal(await announced(page), await page.locator("#verdict").textContent());
  assert.match(await page.locator("#words-room").textContent(), /<peach>/);
  await everywhere(page, "learned");
  // Pictures are made with it at once, and the whole prompt stays in view above them.
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.getByRole("button", { name: "Make pictures with it" }).click();
  await page.locator(".coming").waitFor();
  await page.waitForFunction(() => {
    const [place, prompt, picture] = [".place:has(#pictures)", ".composer", "#sets li"].map((which) => document.querySelector(which).getBoundingClientRect());
    return prompt.top >= place.top && picture.bottom <= place.bottom;
  });
  assert.equal(await page.locator("#prompt").inputValue(), "a <peach> on a blue background");
  assert.equal(await page.evaluate(() => document.body.dataset.now), "make");
  assert.deepEqual(errors, []);
  await context.close();
});

test("stopping keeps what is there; another word begins afresh", { timeout: 120_000 }, async () => {
  const { context, page, errors } = await opened({ pause: 40 });
  await teach(page, peach.slice(0, 2));
  await page.getByLabel("Start from").fill("apple");
  await page.getByLabel("What to call it").fill("<mine>");
  await pressAfterStep(page, 8, "stop");
  await page.getByRole("button", { name: "Learn it" }).click();
  const stopped = page.getByRole("heading", { name: "Stopped: <mine> is kept" });
  await stopped.waitFor();
  // All that was drawn is from before learning: that is said, and no picture of the word on the shelf.
  const [drawn, told] = await Promise.all([page.locator("#shown").boundingBox(), page.getByText("Drawn before learning: make a picture to see the word").boundingBox()]);
  assert.ok(told.y >= drawn.y + drawn.height && told.y < drawn.y + drawn.height + 20, "under the picture");
  await page.locator("#words [data-token='<mine>'] .swatch").waitFor();
  await everywhere(page, "stopped early");
  // Whoever wants more of it learns on where it stopped; the word as it was can be put back.
  await pressAfterStep(page, 12, "stop");
  const first = firstStep(page);
  await page.getByRole("button", { name: "Learn on" }).click();
  assert.match(await first, /^Step 9 of 600/);
  await stopped.waitFor();
  // What was evaluated after steps 0 to 7, and after 9 to 11.
  assert.equal(await page.locator("#curve circle").count(), 11, "all of its curve");
  assert.deepEqual(await page.locator("#words code").allTextContents(), ["<mine>"]);
  await page.locator("#words-removed").getByText("<mine>", { exact: true }).waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Teach another word" }).click();
  assert.equal(await focused(page), "teach-title");
  assert.equal(await page.getByLabel("What to call it").inputValue(), "<my-word>");
  const pictures = page.getByRole("list", { name: "Chosen pictures" }).getByRole("img");
  assert.equal(await pictures.count(), 0);
  // One press brings back what it was learned from; so after all were removed.
  for (const _ of [1, 2]) {
    await page.getByRole("button", { name: "Bring the last pictures back" }).click();
    await pictures.nth(1).waitFor();
    assert.equal(await page.getByLabel("Start from").inputValue(), "apple");
    assert.equal(await focused(page), "own-clear");
    await page.getByRole("button", { name: "Remove all" }).click();
    await pictures.first().waitFor({ state: "detached" });
  }
  await accessible(page, "with pictures that can be brought back");
  // With a model, what is typed is checked, and what it takes is said.
  await page.getByLabel("What to call it").fill("cat");
  await page.locator("#token-note").getByText(/"cat" is taken/).waitFor();
  assert.equal(await page.getByLabel("What to call it").getAttribute("aria-invalid"), "true");
  await page.locator("#need").getByText(/^On the mini model, for a first try: .* Takes about/).waitFor();
  await page.getByLabel("Add pictures").setInputFiles(peach.slice(0, 1));
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.locator("#learn-problem").getByText(/"cat" is taken/).waitFor();
  await page.getByRole("heading", { name: "Teach a new word" }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test("what came of a word is said for pictures, with what to do about it", { timeout: 180_000 }, async () => {
  const cases = [
    [{ level: "good", gain: 0.5, length: 9.5 }, /^It worked: .* much closer to your pictures than “apple” did\. Look at what it draws/, "3.80, stronger than ordinary words (0.40), as most learned words are"],
    [{ level: "begun", gain: 0.16, length: 1.2 }, /^A start: 6 steps are little, though .* closer .* than “apple” did\. .* learn on/, "0.48, like ordinary words (0.40)", "500", "Learn on"],
    [{ level: "fair", gain: 0.3, length: 1.2 }, /^A start: .* somewhat closer .* see whether that is enough\. .* learning longer/, "0.48, like ordinary words (0.40)", "500"],
    [{ level: "fair", gain: 0.5, length: 14.2 }, /drown out .* half the steps/, "5.68, far stronger than ordinary words (0.40): it may drown out the rest of a prompt", "3"],
    [{ level: "poor", gain: -0.1, length: 1 }, /no closer .* longer\.$/, "0.40, like ordinary words (0.40)", "500", "Change something and learn again"],
  ];
  const headings = { good: "<peach> has been learned", begun: "<peach> has been learned, for a start", fair: "<peach> has been learned", poor: "An attempt at <peach>" };
  for (const [verdict, said, strength, steps, first = "Make pictures with it"] of cases) {
    const { context, page, errors } = await opened({ pause: 5, verdict: { ...verdict, next: Number(steps) } });
    await fewExampleSteps(context, { steps: 6, "preview-every": 0 });
    await page.reload();
    await page.getByRole("button", { name: "Learn <peach> now" }).click();
    await page.getByRole("heading", { name: headings[verdict.level], exact: true }).waitFor();
    assert.match(await page.locator("#verdict").textContent(), said);
    assert.deepEqual(await page.locator("#learned button.primary").filter({ visible: true }).allTextContents(), [first]);
    assert.ok(await page.locator(".stage figure").first().isHidden(), "nothing was drawn, so there is no place for it");
    await page.getByText("In numbers").click();
    const percent = `${Math.abs(Math.round(100 * verdict.gain))}% ${verdict.gain < 0 ? "larger" : "smaller"} than before. The word is ${verdict.length.toFixed(1)} times`;
    await page.getByText(percent).waitFor();
    await page.locator("#words [data-token='<peach>'] .word-open").click();
    await page.getByRole("dialog").getByText(strength, { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    const again = page.getByRole("button", { name: verdict.level === "begun" ? "Learn on" : "Change something and learn again" });
    assert.equal(await again.isVisible(), steps !== undefined);
    if (steps) {
      await again.click();
      assert.equal(await focused(page), "steps");
      assert.equal(await page.getByLabel("Steps", { exact: true }).first().inputValue(), steps);
      assert.equal(await page.getByRole("list", { name: "Chosen pictures" }).getByRole("img").count(), 4, "the pictures are still there");
    }
    assert.deepEqual(errors, []);
    await context.close();
  }
  // Of one's own pictures on the mini model the likely cause is named, and the way on is one press away.
  const { context, page, errors } = await opened({ pause: 5, verdict: { level: "poor", gain: -0.1, length: 1 } });
  await teach(page, peach.slice(0, 2));
  await page.locator("#learn summary").click();
  await page.locator("#steps").fill("6");
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.locator("#verdict").getByText(/^It hardly worked: .* The mini model cannot draw photos: use Stable Diffusion\.$/).waitFor();
  assert.deepEqual(await filled(page, "#learned"), ["Learn the same with Stable Diffusion"]);
  await everywhere(page, "poor");
  await page.getByRole("button", { name: "Learn the same with Stable Diffusion" }).click();
  await page.locator("#photos-plan #plan").waitFor();
  assert.equal(await page.getByLabel("What to call it").inputValue(), "<my-word-2>");
  assert.equal(await page.getByRole("list", { name: "Chosen pictures" }).getByRole("img").count(), 2);
  await page.getByText("Kept in this browser until learned or removed.").waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test("the same example again is learned under a free name, or in place of the former word", { timeout: 120_000 }, async () => {
  const { context, page, errors } = await opened({ pause: 5 });
  await fewExampleSteps(context, { steps: 2, "preview-every": 0 });
  await page.reload();
  const again = async () => {
    await page.evaluate(async () => (await import(new URL("www/base/studio.js", document.baseURI))).turnTo("welcome"));
    await page.getByRole("button", { name: "Learn <peach> now" }).click();
    await page.locator("#start-problem").getByText("There is a word <peach> already.").waitFor();
  };
  const tokens = () => page.locator("#words code").allTextContents();
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  await again();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Learn it as <peach-2>");
  assert.deepEqual(await filled(page, ".work"), ["Learn it as <peach-2>"], "one button is the first");
  await everywhere(page, "a word that is there already");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "<peach-2> has been learned" }).waitFor();
  assert.deepEqual(await tokens(), ["<peach>", "<peach-2>"]);
  await page.getByRole("button", { name: "Make pictures with it" }).click();
  assert.equal(await page.locator("#prompt").inputValue(), "a <peach-2> on a blue background");
  await page.locator("#announcer").getByText("The picture is ready.").waitFor();
  await page.locator("#generate").waitFor();
  await again();
  await page.getByRole("button", { name: "Learn <peach> anew" }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  assert.deepEqual(await tokens(), ["<peach-2>", "<peach>"]);
  await page.locator("#words-removed").getByText("<peach>", { exact: true }).waitFor({ state: "attached" });
  // So in the form.
  await page.getByRole("button", { name: "Teach another word" }).click();
  await page.getByLabel("Add pictures").setInputFiles(peach.slice(0, 1));
  await page.getByLabel("What to call it").fill("<peach>");
  await page.getByRole("button", { name: "Learn it at 64 pixels" }).click();
  await page.locator("#learn-problem").getByRole("button", { name: "Learn it as <peach-3>" }).waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});

test("what was left unfinished is offered at the next visit, with its previews; or thrown away", { timeout: 120_000 }, async () => {
  const { context, page: first, open, errors } = await opened({ pause: 20 });
  await fewExampleSteps(context, { steps: 12, "preview-every": 2 });
  let page = first;
  await page.reload();
  const begin = async (again) => {
    await pressAfterStep(page, 5, "pause");
    // Which names are taken is known once the shelf is read.
    if (again) await page.locator("#words [data-token='<peach>']").waitFor();
    await page.getByRole("button", { name: "Learn <peach> now" }).click();
    if (again) await page.getByRole("button", { name: "Learn it as <peach-2>" }).click();
    await page.getByText("Saved after step 5").waitFor();
  };
  await begin();
  // A second tab keeps its hands off it, and takes over when it is gone.
  const second = await open();
  await second.getByText("Another tab is learning <peach>: it is at step 5 of 12 or later.").waitFor();
  await teach(second, peach.slice(0, 1));
  await second.getByRole("button", { name: "Learn it" }).click();
  await second.locator("#learn-problem").getByText("Another tab of this page is training").waitFor();
  await page.close({ runBeforeUnload: false });
  await second.getByText("Learning <peach> stopped at step 5 of 12.").waitFor();
  await second.getByRole("button", { name: "Remove all" }).click();
  await second.getByText("All chosen pictures were removed.").waitFor();
  await second.close();

  page = await open();
  await page.getByText("Learning <peach> stopped at step 5 of 12.").waitFor();
  assert.deepEqual(await filled(page, ".work"), ["Resume"], "one button is the first");
  await everywhere(page, "unfinished");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  assert.equal(await previews(page).getAttribute("max"), "6", "those of the first visit are there, too");
  assert.match(await page.locator("#verdict-error").textContent(), /60% smaller/, "measured from the start, not from where it went on");
  await page.reload();
  await page.waitForTimeout(300);
  assert.ok(await page.locator("#unfinished").isHidden(), "it is finished");

  await begin(true);
  await page.close({ runBeforeUnload: false });
  page = await open();
  await page.getByRole("button", { name: "Discard" }).click();
  await page.locator("#unfinished").waitFor({ state: "hidden" });
  await page.reload();
  await page.waitForTimeout(300);
  assert.ok(await page.locator("#unfinished").isHidden(), "it is gone");

  // Kept as it is, it has the picture that was drawn of it last; what was drawn before it was learned is none.
  for (const [step, shows] of [[5, "img"], [1, ".swatch"]]) {
    await pressAfterStep(page, step, "pause");
    await page.locator("#words [data-token='<peach>']").waitFor();
    await page.getByRole("button", { name: "Learn <peach> now" }).click();
    await page.getByRole("button", { name: /^Learn it as/ }).click();
    await page.getByText(`Saved after step ${step}`).waitFor();
    await page.close({ runBeforeUnload: false });
    page = await open();
    await page.getByRole("button", { name: "Keep the word as it is" }).click();
    await page.locator("#unfinished").waitFor({ state: "hidden" });
    await page.locator("#words > li").last().locator(shows).waitFor();
  }
  assert.deepEqual(errors, []);
  await context.close();
});

test("a damaged state is told and can only be discarded", { timeout: 60_000 }, async () => {
  const { context, page: first, open, errors } = await opened({ pause: 20 });
  await fewExampleSteps(context, { steps: 12 });
  await first.reload();
  await pressAfterStep(first, 4, "pause");
  await first.getByRole("button", { name: "Learn <peach> now" }).click();
  await first.getByText(/^Saved after step/).waitFor();
  await first.close({ runBeforeUnload: false });
  const page = await open();
  await page.evaluate(async () => {
    const run = await (await (await navigator.storage.getDirectory()).getDirectoryHandle("kept")).getDirectoryHandle("run");
    const file = await (await run.getFileHandle("state-0")).createWritable();
    await file.write("torn");
    await file.close();
  });
  await page.locator("#load").click();
  await page.getByText("A run that learned <peach> was saved, but it cannot be resumed (state-0: it is cut short).").waitFor();
  assert.equal(await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).count(), 0);
  await page.getByRole("button", { name: "Discard" }).click();
  await page.locator("#unfinished").waitFor({ state: "hidden" });
  assert.deepEqual(errors, []);
  await context.close();
});

test("what goes wrong is said where one looks, and leads on", { timeout: 120_000 }, async () => {
  // No model can be opened: back to the start.
  let { context, page } = await opened({ unopened: "the GPU has no room for it" });
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.locator("#start-problem").getByText("The GPU has no room for it").waitFor();
  assert.equal(await page.evaluate(() => document.body.dataset.now), "welcome");
  assert.equal(await focused(page), "start-problem");
  await everywhere(page, "refused");
  await context.close();

  // The card has no room: said in view, with the focus, as a sentence, with what helps.
  ({ context, page } = await opened({ unopened: "the graphics device's memory is full", unopenedBy: { code: "gpu-memory" } }));
  await page.setViewportSize({ width: 1280, height: 700 });
  await teach(page, peach);
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.locator("#learn-problem").getByText(/^The graphics card’s memory is full\. Close other programs .* smaller batch size or model\. What was learned or downloaded so far is kept\./).waitFor();
  await page.waitForFunction(() => {
    const [{ top, bottom }, place] = [document.getElementById("learn-problem"), document.querySelector(".place.work")].map((one) => one.getBoundingClientRect());
    return document.activeElement.id === "learn-problem" && top >= place.top && bottom <= place.bottom;
  });
  await context.close();

  // The engine's own code does not come: said, and a press tries again.
  ({ context, page } = await opened({ pause: 5 }));
  await page.locator("body[data-ready]").waitFor();
  await context.route("**/www/worker.js", (route) => route.abort());
  await teach(page, peach.slice(0, 1));
  for (const _ of [1, 2]) {
    await page.getByRole("button", { name: "Learn it" }).click();
    await page.locator("#learn-problem").getByText("The page is not complete here: connect and try again.").waitFor();
  }
  await page.locator("#load").click();
  await page.locator("#model-problem").getByText("The page is not complete here").waitFor();
  await played(context, { pause: 5 });
  await fewPlayed(page);
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.getByRole("heading", { name: "<my-word> has been learned" }).waitFor();
  await context.close();

  // A full storage ends nothing; what could not be kept is said.
  ({ context, page } = await opened({ full: true, pause: 30 }));
  await fewExampleSteps(context, { steps: 49 });
  await page.reload();
  // It waits there, so that what is said of it can be seen on a slow machine, too.
  await pressAfterStep(page, 25, "pause");
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.getByText(/^Not saved after step 25, so leave this tab open: There is no room: it is full/).waitFor();
  await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  // Beside the button that saves it.
  await page.locator("#learned #kept-problem + #downloads").waitFor();
  await page.locator("#kept-problem").getByText(/<peach> will be lost when this tab closes, so download it/).waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "diffusers, ComfyUI: download <peach>" }).click()]);
  assert.equal(download.suggestedFilename(), "peach.safetensors");
  await context.close();

  // The device is lost: said at the top, and the run is offered again.
  ({ context, page } = await opened({ pause: 30 }));
  await pressAfterStep(page, 25, "pause");
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.getByText(/^Saved after step 25/).waitFor();
  await page.evaluate(() => new BroadcastChannel("lose").postMessage(""));
  await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).click();
  await page.getByText(/The engine stopped: the graphics card was reset\. Close other/).waitFor();
  await page.getByText("Learning <peach> stopped at step 25 of 300.").waitFor();
  assert.equal(await page.title(), "pseudoword");
  await everywhere(page, "lost");
  // One button is enough: it starts the engine, too.
  assert.ok(await page.getByRole("button", { name: "Start the engine again" }).isHidden());
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByText(/^Step \d+ of 300/).waitFor();
  assert.equal(await page.getByText(/The engine stopped/).filter({ visible: true }).count(), 0);
  await context.close();
});

/** Drops files that hold `text` on the page. */
const drop = async (page, files) => (await page.locator("body[data-ready]").waitFor(), page.evaluate((files) => {
  const dataTransfer = new DataTransfer();
  for (const [name, type, text] of files) dataTransfer.items.add(new File([text], name, { type }));
  for (const event of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(event, { dataTransfer, bubbles: true, cancelable: true }));
}, files));

test("what is odd, hasty or blocked ends nothing", { timeout: 180_000 }, async () => {
  const { context, page, errors } = await opened({ pause: 30 });
  page.on("dialog", (dialog) => dialog.accept());
  await fewExampleSteps(context, { steps: 12, "preview-every": 2 });
  await page.reload();
  await page.locator("body[data-ready]").waitFor();
  // Each file that cannot be used is named, whatever came with it.
  await drop(page, [["a.pdf", "application/pdf", "x"], ["b.heic", "", "x"], ["c.png", "image/png", "x"], ["d.txt", "text/plain", "x"]]);
  await page.locator("#pictures-problem").getByText(/a\.pdf is neither.*b\.heic is a HEIC.*c\.png cannot be read.*d\.txt/s).waitFor();
  // However long a name is: of a file, or of the model that a link asks for.
  await drop(page, [[`${"e".repeat(200)}.jpg`, "image/jpeg", "x"]]);
  await page.locator("#pictures-problem").getByText(/eee\.jpg cannot be read/).waitFor();
  await narrow(page);
  await page.goto(`${place.origin}/?model=${"a".repeat(200)}/b`);
  await page.getByText("This link asks for the model").waitFor();
  await narrow(page);
  await page.goto(place.origin);
  // While something is learned, it stays in view.
  await page.reload();
  await pressAfterStep(page, 5, "pause");
  await page.getByRole("button", { name: "Learn <peach> now" }).click();
  await page.getByText("Saved after step 5").waitFor();
  await drop(page, [["a.pdf", "application/pdf", "x"]]);
  await page.locator("#run-problem").getByText(/a\.pdf is neither/).waitFor();
  assert.ok(await page.locator("#pause").isVisible());
  // Resumed by two presses is resumed once.
  await page.reload();
  await page.locator("#continue").waitFor();
  await page.evaluate(() => [1, 2].forEach(() => document.getElementById("continue").click()));
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor();
  assert.ok(await page.locator("#unfinished").isHidden());
  assert.equal(await page.locator("#run-problem").textContent(), "");
  // What was put away meanwhile can be downloaded all the same.
  await page.locator("#words .word-open").click();
  await page.getByRole("button", { name: "Remove from the shelf: <peach>" }).click();
  await page.getByText("<peach> was removed.").waitFor();
  await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "diffusers, ComfyUI: download <peach>" }).click()]);
  // A name that is taken by now.
  await page.evaluate(async () => {
    const { keepWord } = await import(new URL("www/words/shelf.js", document.baseURI));
    await keepWord(new Uint8Array([1]), "other.pt", { token: "<peach>" });
    await keepWord(new Uint8Array([2]), "another.pt", { token: "<peach>" });
  });
  await page.getByRole("button", { name: "Put it back" }).click();
  await page.locator("#words [data-token='<peach-3>']").waitFor();
  assert.deepEqual((await page.locator("#words code").allTextContents()).sort(), ["<peach-2>", "<peach-3>", "<peach>"]);
  // Whatever a word is called, its details can be read and closed.
  await page.evaluate(async () => {
    const { keepWord } = await import(new URL("www/words/shelf.js", document.baseURI));
    await keepWord(new Uint8Array([3]), "long.pt", { token: `<${"long".repeat(50)}>` });
  });
  await page.locator("#words .word-open").last().click();
  for (const id of ["word-details", "prompt-words"]) assert.ok(await page.locator(`#${id}`).evaluate((place) => place.scrollWidth <= place.clientWidth), id);
  await page.locator("#details-close").click();
  // Two presses in a row make pictures; they do not stop them.
  await page.locator("#prompt").fill("a cat");
  await page.locator("#generate").dblclick();
  await page.locator("#announcer").getByText("The picture is ready.").waitFor();
  // What another tab deleted can be deleted; why it cannot be downloaded is said.
  await page.locator("#generate").waitFor();
  await page.evaluate(async () => (await import(new URL("www/make/kept.js", document.baseURI))).forgetAll());
  await page.getByRole("button", { name: /^Download: a cat, seed/ }).click();
  await page.locator("#make-status").getByText("another tab has deleted this picture").waitFor();
  await page.getByRole("button", { name: /^Delete: a cat, seed/ }).click();
  await page.locator(".set").waitFor({ state: "detached" });
  assert.deepEqual(errors, []);
  await context.close();
});
