// Was die Engine zu bedenken gibt, nach ihren Codes (src/warning.rs), siehe en.js.

export default {
  "retry": "Der Download brach ab und wird wieder versucht.",
  "waiting": "Ein anderer Tab holt gerade dieses Modell, darauf wird gewartet.",

  "model-word": "Im Wortschatz des Modells steht ein Wort, mit dem es nichts anfangen kann.",
  "checkpoint": "Etwas in der Modelldatei wird nicht benutzt oder lässt sich verschieden lesen.",
  "weights": "Manche Gewichte in der Modelldatei werden nicht benutzt oder heißen ungewöhnlich.",
  "scheduler": "Das Modell verlangt etwas, was dieser Sampler nicht kann: vielleicht passt ein anderer besser.",

  "embedding-file": "Etwas in der Datei des Wortes wird nicht benutzt.",
  "other-model": "Dieses Wort wurde auf einem anderen Modell gelernt und kann hier etwas anderes bedeuten.",

  "prompt-cut": "Der Prompt ist zu lang: sein Ende entfällt.",
  "unknown-embedding": "Ein Name in spitzen Klammern ist keins deiner Wörter und wird als bloßer Text gelesen.",
  "prompt-syntax": "Zeichen anderer Programme werden als bloßer Text gelesen.",

  "no-effect": "Eine der Einstellungen bewirkt nichts, so wie die anderen stehen.",
  "picture-size": "In dieser Größe können die Bilder schlecht werden: Das Modell wurde mit einer anderen trainiert.",
  "peak-not-reached": "Es sind so wenige Schritte, dass es nie mit voller Kraft lernt: mehr Schritte würden helfen.",

  "damaged-picture": "Vielleicht beschädigt: sieh nach, ob alles da ist",
  "same-picture": "Zwei der Bilder sind gleich, das eine zählt also doppelt: aus verschiedenen lernt es mehr.",
  "caption-without-embedding": "Ein Bildtext nennt das Wort nicht oder hat keinen Platz dafür: schreib {} weit vorn hin, wo das Wort stehen soll.",
  "preview-without-embedding": "Im Prompt der Vorschauen kommt das Wort nicht vor, daher zeigen sie nicht, was gelernt wird.",
  "few-pictures": "Das sind wenige Bilder: aus drei bis fünf lernt es das Ding selbst, nicht ein einzelnes Bild.",
  "small-pictures": "Manche Bilder sind kleiner als das, was das Modell sieht; Einzelheiten werden fehlen.",
  "blurred-pictures": "Manche Bilder sind unscharf, und so wird auch, was daraus gelernt wird.",

  "long-vectors": "Das Wort wird so stark, dass es den Rest eines Prompts übertönen kann: halte bald an oder nimm weniger Schritte.",
  "no-preview": "Eine Vorschau gelang nicht; das Lernen geht weiter.",
};
