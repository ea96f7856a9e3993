// The page as tools/web/dist makes it opens and works without any network once it was opened with one, and can be installed as an app.

import assert from "node:assert/strict";
import { test } from "node:test";
import { load, start } from "./browser.mjs";

test("the page opens and loads its stored model without a network", { timeout: 400_000 }, async (t) => {
  const place = await start({ offline: true });
  t.after(() => place.close());
  const { context, open, errors } = await place.visitor();
  let page = await open();
  // Nothing was pressed: the page is kept, the engine not even fetched.
  await page.evaluate(() => navigator.serviceWorker.ready);
  const isKept = (path) => page.evaluate(async (path) => (await caches.match(path)) !== undefined, path);
  const engine = "www/pkg/pseudoword_bg.wasm";
  assert.deepEqual([await isKept("index.html"), await isKept(engine)], [true, false]);
  await load(page);
  await page.waitForFunction((path) => caches.match(path).then((found) => found !== undefined), engine);
  // Chromium finds nothing that keeps it from being installed, and a manifest without errors.
  const protocol = await context.newCDPSession(page);
  const { installabilityErrors } = await protocol.send("Page.getInstallabilityErrors");
  // A window of Playwright's is a private one, where nothing is installed.
  assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito"), []);
  const { errors: wrong, manifest } = await protocol.send("Page.getAppManifest");
  assert.deepEqual(wrong, []);
  assert.deepEqual([manifest.startUrl, manifest.scope, manifest.display], [`${place.origin}/`, `${place.origin}/`, "kStandalone"]);
  await page.close();

  await context.setOffline(true);
  page = await open();
  await load(page);
  assert.equal(await page.evaluate(() => caches.keys().then((names) => names.length)), 1);
  const gone = await page.evaluate(() => fetch("README.md").then(() => "there", () => "gone"));
  assert.equal(gone, "gone", "there is no network, and only the page itself is kept");
  await page.goto(`${place.origin}/www/help.html`);
  await page.getByRole("heading", { name: "Start from" }).waitFor();
  assert.deepEqual(errors.filter((text) => !/ERR_INTERNET_DISCONNECTED|Failed to fetch/.test(text)), []);
  await context.close();
});
