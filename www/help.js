// Help for the person at the page: in both languages in one file, of which the visitor's is shown.

import { frame } from "./base/frame.js";
import { language } from "./base/text.js";

frame();
for (const article of document.querySelectorAll("article")) article.hidden = article.lang !== language;
document.title = `pseudoword: ${document.querySelector("article:not([hidden]) h1").textContent}`;
document.body.dataset.ready = "";
