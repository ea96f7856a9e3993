// What goes wrong in the engine, by its codes (src/error/told.rs), for those who only want pictures; its own sentence is shown below when
// asked for, unless it is here already.

const which = (name) => `“${name}”`;

export default {
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
};
