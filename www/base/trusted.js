// The scripts that the page starts beside its own. Browsers with Trusted Types (Chromium, Safari 26) are told by the page's
// Content-Security-Policy to start no others, whatever wants them to.

const policy = globalThis.trustedTypes?.createPolicy("pseudoword", {
  createScriptURL(address) {
    if (new URL(address).origin !== location.origin) throw new TypeError(`${address} is not a script of this page's`);
    return address;
  },
});

/** The address of a script of the page's own, as the browser takes it. */
export const script = (address) => policy?.createScriptURL(address.href) ?? address;
