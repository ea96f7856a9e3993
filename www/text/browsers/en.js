// What is said where a browser lacks something.

export default {
  insecure: "This page was opened over a plain http address, and browsers offer the graphics card only to secure ones.",
  none: ({ name }) => `This browser offers no WebGPU${{ firefox: " here: Firefox has it on Windows and on Macs with Apple chips", safari: ": Safari has it since version 26" }[name] ?? ""}.`,
  worker: "This browser offers WebGPU to pages but not to their Workers, and the engine runs in one so that the page stays free.",
  adapter: "This browser has WebGPU but found no graphics card that it would use.",
  feature: ({ lacks }) => `The graphics card, as this browser offers it, lacks what the engine needs: ${lacks}.`,
  todo: {
    insecure: "Open the same address with https://, or the page on your own computer as http://localhost.",
    none_chrome: ({ version, system }) =>
      version < 113 ? "Update Chrome: it has WebGPU since version 113."
        : system === "linux" ? "On Linux, Chrome keeps it off for many graphics cards: set chrome://flags/#enable-unsafe-webgpu to Enabled and start Chrome again."
          : system === "android" ? "On Android it needs Chrome 121 and Android 12, or newer." : "Turn on \u201cUse graphics acceleration when available\u201d in Chrome's settings under System, and start it again.",
    none_edge: ({ version, system }) =>
      version < 113 ? "Update Edge: it has WebGPU since version 113."
        : system === "linux" ? "On Linux, set edge://flags/#enable-unsafe-webgpu to Enabled and start Edge again." : "Turn on graphics acceleration in Edge's settings under System, and start it again.",
    none_firefox: ({ version, system }) =>
      system === "windows" || system === "mac" ? `${version < 145 ? "Update Firefox" : "Look at about:support under Graphics for what keeps it off"}, or open this page in Chrome or Edge.`
        : "Set dom.webgpu.enabled to true in about:config and open the page again, or open it in Chrome.",
    none_safari: ({ system }) => (system === "ios" ? "Update iOS to version 26 or newer: every browser on it uses what Safari has." : "Update macOS to version 26 or newer, or open this page in Chrome."),
    none_other: "Open this page in a current Chrome, Edge, Firefox or Safari.",
    adapter_windows: "Update the graphics card's driver, and turn on graphics acceleration in the browser's settings.",
    adapter_mac: "Turn on graphics acceleration in the browser's settings, and update macOS.",
    adapter_ios: "Update iOS, and turn Low Power Mode off.",
    adapter_android: "Update Android and the browser; older phones have no graphics chip that can.",
    adapter_linux: "Install the Vulkan driver of your graphics card (for AMD and Intel it is in mesa-vulkan-drivers), and see what chrome://gpu says.",
    adapter_firefox: "Install the Vulkan driver of your graphics card (for AMD and Intel it is in mesa-vulkan-drivers). If it is there, set gfx.webgpu.ignore-blocklist to true in about:config, or open this page in Chrome.",
    feature: ({ name }) => (name === "firefox" || name === "safari" ? "Update the browser, or open this page in Chrome or Edge." : "Update the browser and the graphics card's driver."),
  },
};
