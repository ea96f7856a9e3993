// Was in der Engine schiefgeht, nach ihren Codes (src/error/told.rs), siehe en.js.

const which = (name) => `„${name}“`;
const und = (widths) => widths.replace(" and ", " und ");

export default {
  "out-of-range": ({ setting, given }) => `${setting} kann nicht ${given} sein: wähle einen anderen Wert.`,
  "bad-picture": ({ file }) => `${file} lässt sich nicht benutzen: speichere es neu als PNG oder JPEG, oder nimm ein anderes Bild.`,
  "token-taken": ({ token, suggestion }) => `${which(token)} gibt es schon: nimm einen anderen Namen, zum Beispiel ${suggestion}`,
  "bad-token": ({ token, suggestion }) => `${which(token)} kann kein Wort sein: nimm einen anderen Namen, zum Beispiel ${suggestion}`,
  "model-part-missing": ({ model }) => `${model} ist nicht vollständig: wähle den ganzen Ordner oder eine Datei, in der alles steckt.`,
  "bad-config": () => "Dieses Modell geht hier nicht: Stable Diffusion 1.x, 2.x und SDXL gehen.",
  "bad-weights": ({ file }) => `${file} passt nicht zum Rest des Modells: wähle Dateien, die zusammengehören.`,
  "weights-not-finite": ({ file }) => `${file} ist beschädigt: besorge eine andere Kopie.`,
  "bad-file": ({ file }) => `${file} lässt sich hier nicht benutzen.`,
  "wrong-width": ({ family, widths, model, expected }) => `Dieses Wort wurde für ${family} gelernt (Breite ${und(widths)}); dieses Modell ist ${model} (Breite ${und(expected)}). Lade dafür ein Modell seiner Art.`,
  "changed": () => "Es lässt sich nicht fortsetzen, weil es nicht mehr dasselbe wäre: verwirf es und lern neu.",
  "not-finite": () => "Das Bild besteht nur aus Fehlern: nimm einen anderen Startwert oder andere Einstellungen, oder lade das Modell neu.",
  "numeric": () => "Das Lernen ist unrettbar aus dem Ruder gelaufen: nimm weniger Schritte oder andere Bilder und lern neu.",
  "no-gpu": () => "Es fand sich keine Grafikkarte, die das kann: siehe unten „Diesen Browser prüfen“.",
  "too-little-memory": () => "Das braucht mehr Speicher, als da ist: schließe andere Programme und Tabs, oder nimm eine kleinere Batch-Größe oder ein kleineres Modell.",
  "gpu": () => "die Grafikkarte hat versagt",
  "gpu-lost": () => "die Grafikkarte wurde zurückgesetzt",
  "gpu-memory": () => "der Speicher der Grafikkarte ist voll",
  "internal": () => "Das ist ein Fehler in diesem Programm. Bitte melde, was unter „Genauer“ steht.",

  "bad-address": ({ typed }) => `${which(typed)} ist keine Adresse, die hier geht: gib Besitzer/Name an oder eine Adresse mit https://`,
  "no-such-file": ({ typed }) => `${which(typed)} gibt es hier nicht. Hugging Face: Besitzer/Name; dieser Computer: wähle Datei oder Ordner.`,
  "unreachable": ({ host }) => `${host} ist nicht zu erreichen: bist du online?${host === "huggingface.co" ? "" : " Wenn ja, lässt es vielleicht keine Webseiten heran."}`,
  "denied": ({ what }) => `Öffentlich gibt es ${what} nicht: ist es richtig geschrieben? Verlangt es eine Anmeldung, lade es selbst herunter und wähle es hier.`,
  "not-found": ({ what }) => `${what} gibt es nicht: ist es richtig geschrieben?`,
  "busy": ({ host }) => `${host} ist überlastet: versuche es in ein paar Minuten noch einmal. Was da ist, bleibt.`,
  "cut": () => "Die Verbindung brach ab: versuche es noch einmal. Was da ist, bleibt.",
  "wrong-bytes": ({ file }) => `${file} ist nicht richtig angekommen: versuche es noch einmal.`,
  "too-long": ({ file, limit }) => `${file} ist größer als ${limit}, zu groß für das, was es sein soll.`,
  "not-the-file": ({ file }) => `Statt ${file} kam etwas anderes: gib die Adresse der Datei selbst an.`,
  "bad-answer": () => "Die Antwort des Servers ergibt keinen Sinn: versuche es später noch einmal, oder prüfe die Adresse.",
  "unfit": ({ repo }) => `In ${repo} ist nichts, was sich hier so benutzen lässt.`,
  "storage-full": (_) => "Der Platz reicht nicht: lösche ein gespeichertes Modell, oder mach Platz auf der Platte.",
  "other-tab": ({ model }) => `Ein anderer Tab holt gerade ${model}: warte darauf, oder halte es dort an.`,
  "storage": (_) => "Der Speicher dieses Browsers geht nicht. In privaten Fenstern fehlt er oft; und eine Datei gehört einem Tab.",
};
