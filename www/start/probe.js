// How fast this browser's GPU is, found out without fetching anything.

/** `{seconds?, gpu?, software}`: what learning an example takes, where that can be said; what computes, in words; whether that is no
 * graphics card at all. */
export async function probe() {
  try {
    const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return { software: false };
    const { vendor, architecture, description } = adapter.info ?? {};
    const software = adapter.info?.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${description} ${architecture}`);
    return { gpu: software ? undefined : description || [vendor, architecture].filter(Boolean).join(" ") || undefined, software: Boolean(software) };
  } catch {
    return { software: false };
  }
}
