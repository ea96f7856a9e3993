// Alles, was die Seite sagt, auf Deutsch; die Schlüssel sind die von en.js.

export default {
  page: {
    tagline: "Bring Stable Diffusion ein neues Wort bei, auf der eigenen Grafikkarte",
    language: "Sprache",
    theme: "Hell oder dunkel",
    promise: "Deine Bilder verlassen diesen Computer nie; keine Cookies, keine Tracker, und das Netz nur für das, worum du bittest",
    check: "Diesen Browser prüfen",
    help: "Hilfe",
  },
  time: {
    seconds: (n) => `${n} s`,
    minutes: (n) => `${n} min`,
    hours: (n) => `${n} h`,
  },
  engine: {
    busy: "Die Engine ist beschäftigt: warte auf sie oder halte sie an.",
    gone: "Die Engine läuft nicht.",
    again: "Engine neu starten",
    broken: (reason) =>
      `Die Engine ist stehen geblieben: ${reason}. Oft wurde die Grafikkarte zurückgesetzt, oder ihr Speicher ist voll: schließe andere Programme, die sie benutzen, oder wähle eine kleinere Batch-Größe. Das bisher Gelernte ist gespeichert; starte die Engine neu, um fortzufahren.`,
  },
  start: {
    title: "Ein Wort für das, was du nicht beschreiben kannst",
  },
  learn: {
    title: "Ein neues Wort lehren",
  },
  make: {
    title: "Bilder",
  },
  words: {
    title: "Wörter",
  },
  models: {
    title: "Modell",
  },
};
