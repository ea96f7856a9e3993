// Whether this browser can run the engine: found before anything is fetched, and said with what to do.

import { also, notHere, t } from "../base/text.js";
import { script } from "../base/trusted.js";

/** Which browser this is: `"chrome"`, `"edge"`, `"firefox"`, `"safari"` or `"other"`, its version, and its system: `"windows"`, `"mac"`,
 * `"ios"`, `"android"` or `"linux"`. */
export function browser(agent = navigator.userAgent, touch = navigator.maxTouchPoints) {
  const system = /Android/.test(agent) ? "android"
    // An iPad says that it is a Mac.
    : /iPhone|iPad/.test(agent) || (/Macintosh/.test(agent) && touch > 1) ? "ios"
    : /Windows/.test(agent) ? "windows" : /Macintosh/.test(agent) ? "mac" : "linux";
  const [, number] = /(?:Edg|Chrome|CriOS|Firefox|FxiOS|Version)\/(\d+)/.exec(agent) ?? [];
  // Every browser of iOS is Safari inside.
  const name = system === "ios" ? "safari" : /Edg\//.test(agent) ? "edge" : /Chrome\//.test(agent) ? "chrome"
    : /Firefox\//.test(agent) ? "firefox" : /Safari\//.test(agent) ? "safari" : "other";
  return { name, version: Number(number ?? 0), system };
}

/** What the Worker of adapter.js answers; asked once. */
let answer;

/** What is known of the GPU, where the engine would run: see adapter.js. `{worker: false}` where there are no module Workers. */
export function gpu() {
  return (answer ??= new Promise((resolve) => {
    const worker = new Worker(script(new URL("adapter.js", import.meta.url)), { type: "module" });
    const end = (found) => {
      worker.terminate();
      resolve(found);
    };
    worker.onmessage = ({ data }) => end(data);
    // Without a message it is that its code did not come, which it may the next time.
    worker.onerror = ({ message }) => {
      if (!message) answer = undefined;
      end({ worker: false, lost: !message });
    };
  }));
}

/** Why this browser cannot run the engine: `{what, todo}` in words, or nothing if it can. */
export async function lacking() {
  const here = browser();
  const absent = () => ({ what: notHere(), todo: "" });
  const said = async (what, todo = what, about = here) => {
    if (!(await also("browsers").then(() => true, () => false))) return absent();
    return { what: t(`browsers.${what}`, about), todo: t(`browsers.todo.${todo}`, about) };
  };
  if (!globalThis.isSecureContext) return said("insecure");
  if (!navigator.gpu) return said("none", `none_${here.name}`);
  const found = await gpu();
  if (found.lost) return absent();
  if (found.worker === false || !found.gpu) return said("worker", `none_${here.name}`);
  if (!found.adapter) return said("adapter", here.name === "firefox" && here.system === "linux" ? "adapter_firefox" : `adapter_${here.system}`);
  if (found.lacks.length > 0) return said("feature", "feature", { ...here, lacks: found.lacks.join(", ") });
  return undefined;
}

/** The same as an error, for those who cannot go on without. */
export async function needBrowser() {
  const missing = await lacking();
  if (missing) throw new Error(`${missing.what} ${missing.todo}`);
}
