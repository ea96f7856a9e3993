// Which browser this is: what to do where something is missing depends on it.

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
