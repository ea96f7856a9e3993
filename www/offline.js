// The service worker: the page opens without a network once it was opened with one. tools/web/assemble fills in the list and the
// version and puts it beside index.html.
//
// Online everything comes from the network, so that nobody is left on an old version; one whole version, fetched in one go, is kept
// for when there is no network. Models, embeddings and what visitors bring never pass through here.

const FILES = "FILES".split(" ");
const CACHE = "pseudoword-VERSION";

const kept = new Set(FILES.map((path) => new URL(path, self.location).href));

self.addEventListener("install", (event) => {
  // Past the browser's own cache, which may hold files of two versions.
  const requests = FILES.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = async () => (await caches.keys()).filter((name) => name.startsWith("pseudoword-") && name !== CACHE);
  event.waitUntil(old().then((names) => Promise.all(names.map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (url.pathname.endsWith("/")) url.pathname += "index.html";
  url.search = url.hash = "";
  if (event.request.method !== "GET" || !kept.has(url.href)) return;
  event.respondWith(fetch(event.request).catch(async () => (await caches.match(url.href)) ?? Response.error()));
});
