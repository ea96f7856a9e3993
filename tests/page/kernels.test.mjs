// The kernels that other GPUs run in a browser, to the eyes of this browser's compiler: its rules are stricter than those of the library that
// native programs have, and SwiftShader runs few of the forms.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { native, start } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

test("every form of every kernel that a browser may launch is valid to its compiler", { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "pseudoword-kernels-"));
  native(["doctor", "--kernels", folder]);
  const texts = readdirSync(folder).filter((name) => name.endsWith(".wgsl")).map((name) => [name, readFileSync(join(folder, name), "utf8")]);
  rmSync(folder, { recursive: true });
  // No browser has these yet.
  const offered = texts.filter(([, code]) => !/\bwgpu_cooperative_matrix\b|\bsubgroup/.test(code));
  assert.ok(offered.length > 500, `${offered.length} of ${texts.length}`);
  assert.ok(offered.some(([, code]) => code.includes("enable f16;")), "forms in f16");

  const visitor = await place.visitor();
  const page = await visitor.open();
  const wrong = [];
  for (let from = 0; from < offered.length; from += 250) {
    wrong.push(...(await page.evaluate(async (texts) => {
      const device = await (await navigator.gpu.requestAdapter()).requestDevice();
      device.pushErrorScope("validation");
      // This device has no f16: f32 stands in its place.
      const made = texts.map(([name, code]) => [name, device.createShaderModule({ code: code.replace("enable f16;", "alias f16 = f32;") })]);
      const found = await Promise.all(made.map(async ([name, made]) => [name, (await made.getCompilationInfo()).messages.filter(({ type }) => type === "error").map(({ message }) => message)]));
      await device.popErrorScope();
      device.destroy();
      return found.filter(([, messages]) => messages.length > 0);
    }, offered.slice(from, from + 250))));
  }
  assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} of ${offered.length} are refused`);
  // That is seen where it is so.
  const seen = await page.evaluate(async () => {
    const device = await (await navigator.gpu.requestAdapter()).requestDevice();
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code: "@compute @workgroup_size(1) fn main(@builtin(local_invocation_index) i: u32) { if i == 0u { return; } workgroupBarrier(); }" }).getCompilationInfo();
    return messages.map(({ type }) => type);
  });
  assert.ok(seen.includes("error"), "a barrier that not all reach is refused");
  await visitor.context.close();
});
