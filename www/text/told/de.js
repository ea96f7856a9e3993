// Was die Seite aus den Codes der Engine macht, siehe en.js.

const which = (name) => `„${name}“`;
const und = (widths) => widths.replace(" and ", " und ");

export default {
  codes: {
    "retry": "Der Download brach ab und wird wieder versucht.",
    "waiting": "Ein anderer Tab holt dieses Modell, darauf wird gewartet.",

    "model-word": "Im Wortschatz des Modells steht ein Wort, das es nicht kennt.",
    "checkpoint": "Etwas in der Modelldatei wird nicht benutzt oder lässt sich verschieden lesen.",
    "weights": "Manche Gewichte in der Modelldatei werden nicht benutzt oder heißen ungewöhnlich.",
    "scheduler": "Das Modell verlangt etwas, was dieser Sampler nicht kann: versuche einen anderen.",

    "embedding-file": "Etwas in der Datei des Wortes wird nicht benutzt.",
    "other-model": "Dieses Wort ist von einem anderen Modell und kann hier etwas anderes bedeuten.",

    "prompt-cut": "Der Prompt ist zu lang: sein Ende entfällt.",
    "unknown-embedding": "Ein Name in spitzen Klammern ist keins deiner Wörter und wird als bloßer Text gelesen.",
    "prompt-syntax": "Zeichen anderer Programme werden als bloßer Text gelesen.",

    "no-effect": "Eine der Einstellungen bewirkt nichts, so wie die anderen stehen.",
    "picture-size": "In dieser Größe können Bilder schlecht werden: Das Modell lernte an einer anderen.",
    "peak-not-reached": "So wenige Schritte, dass es nie mit voller Kraft lernt: nimm mehr.",

    "damaged-picture": "Vielleicht beschädigt: sieh nach, ob alles da ist",
    "same-picture": "Zwei der Bilder sind gleich: aus verschiedenen lernt es mehr.",
    "caption-without-embedding": "Ein Bildtext nennt das Wort nicht oder hat keinen Platz dafür: schreib {} weit vorn hin, wo das Wort stehen soll.",
    "preview-without-embedding": "Im Prompt der Vorschauen fehlt das Wort, daher zeigen sie nicht, was gelernt wird.",
    "few-pictures": "Das sind wenige Bilder: aus drei bis fünf lernt es das Ding, nicht ein Bild.",
    "small-pictures": "Manche Bilder sind kleiner, als das Modell sieht; Einzelheiten werden fehlen.",
    "blurred-pictures": "Manche Bilder sind unscharf, und so wird auch das Gelernte.",

    "long-vectors": "Das Wort wird so stark, dass es den Rest eines Prompts übertönen kann: halte bald an.",
    "no-preview": "Eine Vorschau gelang nicht; das Lernen geht weiter.",
  },

  errors: {
    "out-of-range": ({ setting, given }) => `${setting} kann nicht ${given} sein: wähle einen anderen Wert.`,
    "bad-picture": ({ file }) => `${file} geht hier nicht: speichere es neu als PNG oder JPEG.`,
    "token-taken": ({ token, suggestion }) => `${which(token)} gibt es schon: nimm einen anderen Namen, z. B. ${suggestion}`,
    "bad-token": ({ token, suggestion }) => `${which(token)} kann kein Wort sein: nimm einen anderen Namen, z. B. ${suggestion}`,
    "model-part-missing": ({ model }) => `${model} ist nicht vollständig: wähle den ganzen Ordner oder eine Datei, in der alles steckt.`,
    "bad-config": () => "Dieses Modell geht hier nicht: Stable Diffusion 1.x, 2.x und SDXL gehen.",
    "bad-weights": ({ file }) => `${file} passt nicht zum Rest des Modells: wähle Dateien, die zusammengehören.`,
    "weights-not-finite": ({ file }) => `${file} ist beschädigt: besorge eine andere Kopie.`,
    "bad-file": ({ file }) => `${file} geht hier nicht.`,
    "wrong-width": ({ family, widths, model, expected }) => `Dieses Wort wurde für ${family} gelernt (Breite ${und(widths)}); dieses Modell ist ${model} (Breite ${und(expected)}). Lade dafür ein Modell seiner Art.`,
    "changed": () => "Es lässt sich nicht fortsetzen, weil es nicht mehr dasselbe wäre: verwirf es und lern neu.",
    "not-finite": () => "Das Bild besteht nur aus Fehlern: ändere Startwert oder Einstellungen, oder lade das Modell neu.",
    "numeric": () => "Das Lernen lief aus dem Ruder: nimm weniger Schritte oder andere Bilder und lern neu.",
    "no-gpu": () => "Es fand sich keine Grafikkarte, die das kann: siehe unten „Diesen Browser prüfen“.",
    "too-little-memory": () => "Das braucht mehr Speicher, als da ist: schließe andere Programme und Tabs, oder nimm kleinere Batches oder ein kleineres Modell.",
    "gpu": () => "die Grafikkarte hat versagt",
    "gpu-lost": () => "die Grafikkarte wurde zurückgesetzt",
    "gpu-memory": () => "der Speicher der Grafikkarte ist voll",
    "internal": () => "Das ist ein Fehler in diesem Programm. Bitte melde, was unter „Genauer“ steht.",

    "bad-address": ({ typed }) => `${which(typed)} ist keine Adresse, die hier geht: gib Besitzer/Name an oder eine Adresse mit https://`,
    "no-such-file": ({ typed }) => `${which(typed)} gibt es hier nicht. Hugging Face: Besitzer/Name; dieser Computer: wähle Datei oder Ordner.`,
    "unreachable": ({ host }) => `${host} ist nicht zu erreichen: bist du online?${host === "huggingface.co" ? "" : " Wenn ja, lässt es vielleicht keine Webseiten heran."}`,
    "denied": ({ what }) => `Öffentlich gibt es ${what} nicht: ist es richtig geschrieben? Braucht es eine Anmeldung, lade es selbst herunter und wähle es hier.`,
    "not-found": ({ what }) => `${what} gibt es nicht: ist es richtig geschrieben?`,
    "busy": ({ host }) => `${host} ist überlastet: versuche es in ein paar Minuten noch einmal. Was da ist, bleibt.`,
    "cut": () => "Die Verbindung brach ab: versuche es noch einmal. Was da ist, bleibt.",
    "wrong-bytes": ({ file }) => `${file} ist nicht richtig angekommen: versuche es noch einmal.`,
    "too-long": ({ file, limit }) => `${file} ist größer als ${limit}, zu groß für das, was es sein soll.`,
    "not-the-file": ({ file }) => `Statt ${file} kam etwas anderes: gib die Adresse der Datei selbst an.`,
    "bad-answer": () => "Die Antwort des Servers ergibt keinen Sinn: prüfe die Adresse oder versuche es später noch einmal.",
    "unfit": ({ repo }) => `In ${repo} ist nichts, was hier geht.`,
    "storage-full": (_) => "Der Platz reicht nicht: lösche ein gespeichertes Modell.",
    "other-tab": ({ model }) => `Ein anderer Tab holt gerade ${model}: warte darauf, oder halte es dort an.`,
    "storage": (_) => "Der Speicher dieses Browsers geht nicht. In privaten Fenstern fehlt er oft.",
  },

  notes: {
    "weight": "ein Gewicht",
    "more": "mehr Gewicht",
    "less": "weniger Gewicht",
    "number": "keine Zahl für ein Gewicht",
    "beyond": "zu viel Gewicht",
    "turns": "abwechselnd",
    "change": "ein Wechsel unterwegs",
    "choice": "eine zufällige Wahl",
    "lora": "ein LoRA, das es hier nicht gibt",
    "hypernet": "ein Hypernetz, das es hier nicht gibt",
    "command": "ein Befehl",
    "break": "ein neuer Abschnitt",
    "and": "Prompts nebeneinander",
    "wildcard": "ein Wort aus einer Datei",
    "escape": "Klammern sind ohnehin Text",
    "option": "eine Option",
    "function": "eine Funktion",
  },

  likes: {
    "other-program": () => "Das Bild kommt aus einem anderen Programm mit anderem Rauschen: es wird ein anderes.",
    "sampler": ({ name, used }) => `Den Sampler ${name} gibt es hier nicht: dafür ${used}.`,
    "model": ({ model, used }) => `Das Bild ist aus ${model}, geladen ist ${used}.`,
    "no-embedding": ({ token }) => `Das Bild entstand mit dem Wort ${token}, das es hier nicht gibt.`,
  },
};
