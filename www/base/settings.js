// The settings on the page. Choices and defaults come from the engine; what a setting is called is in www/text, and the engine's
// sentences use it.

/** Everything that names a setting: `data-setting` is its key in settings files. */
const labelled = (place) => [...place.querySelectorAll("[data-setting]")];

/** What the page calls its settings, by their keys. */
export function labels() {
  return Object.fromEntries(labelled(document).map((label) => [label.dataset.setting, label.firstChild.textContent.trim()]));
}

/** The files that words can be given away as: `[{value, label, ending}]`. */
let given = [];
export const formats = () => given;

/** Fills the forms; what has been typed already stays. */
export function fill(choices) {
  given = choices.formats ?? given;
  document.getElementById("hub").placeholder = choices.hub;
  for (const [form, defaults] of [["learn", choices.training], ["make", choices.pictures], ["computing", choices.computing]]) {
    for (const label of labelled(document.getElementById(form) ?? document.createElement("form"))) {
      const key = label.dataset.setting;
      const field = label.querySelector("input, select");
      if (field instanceof HTMLSelectElement && field.options.length === 0) {
        field.append(...choices[key].map(({ value, label }) => new Option(label, value, false, value === defaults[key])));
      } else if (field.value === "" && defaults[key] !== null) {
        field.value = defaults[key];
      }
    }
  }
}
