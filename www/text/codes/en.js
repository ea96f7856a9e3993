// What the engine warns of on the page, by its codes (src/warning.rs), for those who only want pictures; its own sentence, which names particulars, is
// shown below when asked for.

export default {
  "retry": "The download was interrupted and is tried again.",
  "waiting": "Another tab is getting this model, so this waits for it.",

  "model-word": "The model’s vocabulary has a word that it cannot use.",
  "checkpoint": "Something in the model’s file is not used, or is read in one of several ways.",
  "weights": "Some weights in the model’s file are not used, or have an unusual name.",
  "scheduler": "The model asks for something that this sampler does not do: another sampler may suit it better.",

  "embedding-file": "Something in the word’s file is not used.",
  "other-model": "This word was learned on another model, and may mean something else here.",

  "prompt-cut": "The prompt is too long: its end is left out.",
  "unknown-embedding": "A name in angle brackets is not one of your words, so it is read as plain text.",
  "prompt-syntax": "Signs that mean something in other programs are read as plain text.",

  "no-effect": "One of the settings has no effect with the others as they are.",
  "picture-size": "Pictures of this size may be poor: the model was trained on another.",
  "peak-not-reached": "There are so few steps that it never learns at full speed: more steps would help.",

  "damaged-picture": "May be damaged: look whether all of it is there",
  "same-picture": "Two of the pictures are the same, so it counts twice: different ones teach more.",
  "caption-without-embedding": "A caption does not name the word, or has no room for it: write {} where the word goes, near the beginning.",
  "preview-without-embedding": "The prompt of the previews does not show the word, so they cannot show what is learned.",
  "few-pictures": "That is not many pictures: from three to five different ones it learns the thing itself, not one picture of it.",
  "small-pictures": "Some of the pictures are smaller than what the model sees, so details will be missing.",
  "blurred-pictures": "Some of the pictures are blurred, and so will be what is learned from them.",

  "long-vectors": "The word is getting so strong that it may drown out the rest of a prompt: stop soon, or use fewer steps.",
  "no-preview": "A preview could not be made; learning goes on.",
};
