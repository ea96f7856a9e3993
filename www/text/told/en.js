// What the page makes of the engine's codes, for those who only want pictures: `codes` of warnings (src/warning.rs), whose own sentences, which name
// particulars, are shown below when asked for; `errors` with their parts (src/error/told.rs); `notes` of what in a prompt means more than text to
// other programs (src/text/foreign.rs); `likes` of what a picture says of how it was made and cannot be had here (src/sample/label/note.rs).

const which = (name) => `“${name}”`;

export default {
  codes: {
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
  },

  errors: {
    "out-of-range": ({ setting, given, rule }) => `${setting} cannot be ${given}: it must be ${rule}.`,
    "bad-picture": ({ file, reason }) => `${file}: ${reason}`,
    "token-taken": ({ token, suggestion }) => `${which(token)} is taken: choose another name, such as ${suggestion}`,
    "bad-token": ({ token, suggestion }) => `${which(token)} cannot be a word: choose another name, such as ${suggestion}`,
    "model-part-missing": ({ model }) => `${model} is not complete: choose the whole folder of a model, or one file that holds all of it.`,
    "bad-config": () => "This model cannot be used here: Stable Diffusion 1.x, 2.x and SDXL can.",
    "bad-weights": ({ file }) => `${file} does not fit the rest of its model: choose files that belong together.`,
    "weights-not-finite": ({ file }) => `${file} is damaged: get another copy of it.`,
    "bad-file": ({ file, reason }) => `${file}: ${reason}`,
    "wrong-width": ({ family, widths, model, expected }) => `This word was learned for ${family} (${widths} wide); this model is ${model} (${expected} wide). Load a model of its kind to use it.`,
    "changed": () => "It cannot be resumed, because it would not be the same any more: discard it, and learn again.",
    "not-finite": () => "The picture came out as nothing but errors: try another seed or other settings, or load the model again.",
    "numeric": () => "Learning went wrong beyond repair: choose fewer steps or other pictures, and learn again.",
    "no-gpu": () => "No graphics card was found that can do this: see “Check this browser” below.",
    "too-little-memory": () => "This takes more memory than there is: close other programs and tabs, and choose a smaller batch size, smaller pictures or a smaller model. What was downloaded is kept.",
    "gpu": () => "the graphics card failed",
    "gpu-lost": () => "the graphics card was reset",
    "gpu-memory": () => "the graphics card’s memory is full",
    "internal": () => "This is a mistake in this program. Please report what is under Details.",

    "bad-address": ({ typed }) => `${which(typed)} is not an address that can be used here: give owner/name, or an address that begins with https://`,
    "no-such-file": ({ typed }) => `There is no ${which(typed)} here. What is on Hugging Face is written owner/name; what is on this computer, choose as a file or folder.`,
    "unreachable": ({ host }) => `${host} cannot be reached: are you online?${host === "huggingface.co" ? "" : " If you are, it may not let web pages read its files."}`,
    "denied": ({ what }) => `There is no public ${what}: is it spelled right? If it asks for a login, download it yourself and choose it from this computer.`,
    "not-found": ({ what }) => `There is no ${what}: is it spelled right?`,
    "busy": ({ host }) => `${host} is overloaded: try again in a few minutes. What has arrived is kept.`,
    "cut": () => "The connection broke: try again. What has arrived is kept.",
    "wrong-bytes": ({ file }) => `${file} did not arrive as it should: try again.`,
    "too-long": ({ file, limit }) => `${file} is larger than ${limit}, too large for what it should be.`,
    "not-the-file": ({ file }) => `Something else came in place of ${file}: give the address of the file itself.`,
    "bad-answer": () => "The server’s answer makes no sense: try again later, or look whether the address is right.",
    "unfit": ({ repo, reason }) => `${repo} ${reason}`,
    "storage-full": ({ reason }) => `There is no room: ${reason}`,
    "other-tab": ({ model }) => `Another tab is getting ${model}: wait for it, or stop it there.`,
    "storage": ({ reason }) => `This browser’s storage does not work: ${reason}`,
  },

  notes: {
    "weight": "a weight",
    "more": "more weight",
    "less": "less weight",
    "number": "not a number that a weight can be",
    "beyond": "together more weight than a number can be",
    "turns": "taking turns",
    "change": "a change on the way",
    "choice": "a choice at random",
    "lora": "a LoRA, which this page does not have",
    "hypernet": "a hypernetwork, which this page does not have",
    "command": "a command",
    "break": "a new stretch of tokens",
    "and": "prompts side by side",
    "wildcard": "a word out of a file",
    "escape": "brackets are text anyway",
    "option": "an option",
    "function": "a function",
  },

  likes: {
    "other-program": () => "Another program made the picture and draws its noise otherwise: this will be another picture.",
    "sampler": ({ name, used }) => `There is no sampler ${name} here: ${used} is chosen instead.`,
    "model": ({ model, used }) => `The picture was made with ${model}; ${used} is loaded.`,
    "no-embedding": ({ token }) => `The picture was made with the word ${token}, which is not here.`,
  },
};
