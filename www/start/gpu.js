// What a graphics adapter is called, and whether it is only software: told in the page and in the Worker of adapter.js alike.

/** `{name, software}`. */
export function told(adapter) {
  const { vendor = "", architecture = "", device = "", description = "", isFallbackAdapter } = adapter.info ?? {};
  return {
    name: description || [vendor, device || architecture].filter(Boolean).join(" "),
    software: (isFallbackAdapter ?? adapter.isFallbackAdapter) || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${vendor} ${architecture} ${device} ${description}`),
  };
}
