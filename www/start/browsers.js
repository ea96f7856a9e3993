// Whether this browser can run the engine: found before anything is fetched, and said with what to do.

import { also, notHere, t } from "../base/text.js";
import { script } from "../base/trusted.js";

/** Which browser this is, as text/browsers/which.js tells: fetched only where that matters. */
export const browser = async () => (await import(new URL("../text/browsers/which.js", import.meta.url))).browser();

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
  const absent = () => ({ what: notHere(), todo: "" });
  const said = async (what, todo = () => what, more = {}) => {
    try {
      const here = { ...(await browser()), ...more };
      await also("browsers");
      return { what: t(`browsers.${what}`, here), todo: t(`browsers.todo.${todo(here)}`, here) };
    } catch {
      return absent();
    }
  };
  const none = ({ name }) => `none_${name}`;
  if (!globalThis.isSecureContext) return said("insecure");
  if (!navigator.gpu) return said("none", none);
  const found = await gpu();
  if (found.lost) return absent();
  if (found.worker === false || !found.gpu) return said("worker", none);
  if (!found.adapter) return said("adapter", ({ name, system }) => `adapter_${name === "firefox" && system === "linux" ? name : system}`);
  if (found.lacks.length > 0) return said("feature", undefined, { lacks: found.lacks.join(", ") });
  return undefined;
}

/** The same as an error, for those who cannot go on without. */
export async function needBrowser() {
  const missing = await lacking();
  if (missing) throw new Error(`${missing.what} ${missing.todo}`);
}
