// What is said where a browser lacks something.

export default {
  insecure: "Diese Seite wurde über eine einfache http-Adresse geöffnet; die Grafikkarte geben Browser nur sicheren Seiten.",
  none: ({ name }) => `Dieser Browser hat kein WebGPU${{ firefox: ": Firefox hat es unter Windows und auf Macs mit Apple-Chips", safari: ": Safari hat es ab Version 26" }[name] ?? ""}.`,
  worker: "Dieser Browser gibt WebGPU nur Seiten, nicht ihren Workern; die Engine läuft aber in einem, damit die Seite frei bleibt.",
  adapter: "Dieser Browser hat WebGPU, findet aber keine Grafikkarte, die er benutzen will.",
  feature: ({ lacks }) => `Der Grafikkarte fehlt, so wie dieser Browser sie anbietet, was die Engine braucht: ${lacks}.`,
  todo: {
    insecure: "Öffne dieselbe Adresse mit https://, oder die Seite auf dem eigenen Computer als http://localhost.",
    none_chrome: ({ version, system }) =>
      version < 113 ? "Aktualisiere Chrome: WebGPU gibt es ab Version 113."
        : system === "linux" ? "Unter Linux schaltet Chrome es für viele Grafikkarten ab: stelle chrome://flags/#enable-unsafe-webgpu auf Enabled und starte Chrome neu."
          : system === "android" ? "Unter Android braucht es Chrome 121 und Android 12 oder neuer." : "Schalte in den Einstellungen von Chrome unter System die Grafikbeschleunigung ein und starte es neu.",
    none_edge: ({ version, system }) =>
      version < 113 ? "Aktualisiere Edge: WebGPU gibt es ab Version 113."
        : system === "linux" ? "Stelle unter Linux edge://flags/#enable-unsafe-webgpu auf Enabled und starte Edge neu." : "Schalte in den Einstellungen von Edge unter System die Grafikbeschleunigung ein und starte es neu.",
    none_firefox: ({ version, system }) =>
      system === "windows" || system === "mac" ? `${version < 145 ? "Aktualisiere Firefox" : "Sieh in about:support unter Grafik nach, was es abschaltet"}, oder öffne die Seite in Chrome oder Edge.`
        : "Setze in about:config dom.webgpu.enabled auf true und öffne die Seite neu, oder öffne sie in Chrome.",
    none_safari: ({ system }) => (system === "ios" ? "Aktualisiere iOS auf Version 26 oder neuer: jeder Browser dort hat, was Safari hat." : "Aktualisiere macOS auf Version 26 oder neuer, oder öffne die Seite in Chrome."),
    none_other: "Öffne die Seite in einem aktuellen Chrome, Edge, Firefox oder Safari.",
    adapter_windows: "Aktualisiere den Treiber der Grafikkarte und schalte in den Einstellungen des Browsers die Grafikbeschleunigung ein.",
    adapter_mac: "Schalte in den Einstellungen des Browsers die Grafikbeschleunigung ein und aktualisiere macOS.",
    adapter_ios: "Aktualisiere iOS und schalte den Stromsparmodus aus.",
    adapter_android: "Aktualisiere Android und den Browser; ältere Handys haben keinen Grafikchip, der das kann.",
    adapter_linux: "Installiere den Vulkan-Treiber deiner Grafikkarte (für AMD und Intel ist er in mesa-vulkan-drivers) und sieh nach, was chrome://gpu sagt.",
    adapter_firefox: "Installiere den Vulkan-Treiber deiner Grafikkarte (für AMD und Intel ist er in mesa-vulkan-drivers). Ist er da, setze in about:config gfx.webgpu.ignore-blocklist auf true, oder öffne die Seite in Chrome.",
    feature: ({ name }) => (name === "firefox" || name === "safari" ? "Aktualisiere den Browser, oder öffne die Seite in Chrome oder Edge." : "Aktualisiere den Browser und den Treiber der Grafikkarte."),
  },
};
