// Words of others: a look at a concept before it is taken. Nothing is fetched before the visitor asks for it.

import { $, button, h, image, picked, swatch } from "../base/dom.js";
import { familyName, size, t } from "../base/text.js";
import { announce, ask, asked, call, copyLink, onChange, say, studio, using, warn } from "../base/studio.js";
import { host } from "../models/models.js";
import { factsOf, sayNotes } from "./details.js";

/** Concepts to begin with, of the concepts library. */
const IDEAS = ["midjourney-style", "moebius", "cat-toy", "low-poly-hd-logos-icons"];
/** How many of a repository's pictures are shown. */
const PICTURES = 4;

let room;
/** The first picture of what is looked at. */
let first;

function turn(found) {
  $("look-ask").hidden = found;
  $("look-found").hidden = !found;
  if (!found) say("look-title", t("words.others"));
}

/** A repository's own pictures, each when it is there. */
async function pictures(typed, paths, place) {
  for (const path of paths) {
    const found = await ask("lookAtPicture", { typed, path }, warned).catch(() => undefined);
    const waiting = place.querySelector(".waiting");
    if (!found) {
      waiting?.remove();
      continue;
    }
    const picture = new Blob([found.bytes]);
    first ??= picture;
    waiting?.replaceWith(image(picture, t("words.sample", path), { class: "picture" }));
  }
}

const warned = (event) => event.event === "warning" && warn("look-problem", event);

/** Fetches what is needed for a look: what the repository says, the embedding (some kilobytes), and a few pictures. */
async function look(typed) {
  first = undefined;
  say("look-note", t("words.looking", host()));
  const repository = await ask("look", { typed }, warned);
  const fetched = await ask("fetchEmbedding", { typed }, warned);
  const [described] = await call("tools.describe", fetched.bytes, fetched.name);
  const token = fetched.token ?? described.token ?? repository.token ?? "<word>";
  const word = { ...described, token, kind: fetched.kind ?? repository.kind, licence: repository.licence, origin: fetched.origin };
  const samples = (repository.pictures ?? []).slice(0, PICTURES);
  const face = samples.length > 0 ? h("div", { class: "samples" }, ...samples.map(() => h("span", { class: "picture waiting" }))) : h("div", { class: "samples one" }, swatch(token));
  const take = button(t("words.take"), () => using("look-problem", () => keep(fetched, word)), { kind: "primary large" });
  const back = button(t("words.another"), () => (turn(false), $("word-address").focus()), { kind: "plain" });
  say("look-title", repository.repo ?? fetched.name);
  $("look-found").replaceChildren(
    face,
    h("div", { class: "look-text" },
      h("p", { class: "look-token" }, h("code", {}, token)),
      factsOf(word),
      h("div", { class: "warning", id: "look-notes" }),
      fits(word),
      h("p", { class: "row" }, take, back, repository.repo && copyLink("concept", repository.repo)),
      h("small", { class: "quiet" }, t("words.fetched", { bytes: size(fetched.bytes.byteLength ?? fetched.bytes.length), host: host() }))),
  );
  await sayNotes("look-notes", described.notes);
  say("look-note");
  turn(true);
  take.focus();
  // The pictures may take their time: what is known is shown.
  if (samples.length > 0) pictures(typed, samples, face);
}

/** Whether the loaded model can use it. */
function fits({ family }) {
  if (!studio.model) return h("p", { class: "verdict", "data-level": "fair" }, t("words.later", familyName(family)));
  return false;
}

async function keep(fetched, word) {
  const kept = await room.keep(fetched.bytes, fetched.name, { token: word.token, kind: word.kind, licence: word.licence, origin: fetched.origin, picture: first });
  $("word-look").close();
  $("word-address").value = "";
  room.focusOn(kept);
  announce(t("words.kept", kept.token));
}

/** Opens the dialog, perhaps with an address that the visitor is asked about. */
function open(typed) {
  say("look-problem");
  turn(false);
  say("look-note", typed ? t("words.link", { name: typed, host: host() }) : "");
  if (typed) $("word-address").value = typed;
  $("word-look").showModal();
  (typed ? $("word-fetch") : $("word-address")).focus();
}

/** Makes the dialog work. `keep`, `addFiles` and `focusOn` are the shelf's. */
export function lookRoom(shelf) {
  room = shelf;
  $("word-add").addEventListener("click", () => open());
  $("look-close").addEventListener("click", () => $("word-look").close());
  $("look-ideas").append(h("small", {}, t("words.ideas")), ...IDEAS.map((name) => button(name, () => {
    $("word-address").value = `sd-concepts-library/${name}`;
    $("word-fetch").focus();
  }, { kind: "chip" })));
  $("word-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = $("word-address").value.trim();
    using("look-problem", () => look(typed).finally(() => say("look-note"))).then(() => $("look-found").hidden && $("word-fetch").focus());
  });
  picked("word-files", (files) => {
    $("word-look").close();
    room.addFiles(files);
  });
  onChange(() => ($("word-fetch").disabled = studio.busy));
  const concept = asked("concept");
  if (concept) open(concept);
}
