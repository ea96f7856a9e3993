// The service worker: the page opens without a network once it was opened with one. tools/web/assemble fills in the list and the
// version and puts it beside index.html.
//
// Online everything comes from the network, so that nobody is left on an old version; one whole version is kept for when there is no
// network: the page, fetched in one go, and the engine, many times its size, from when it was first asked for. Models, embeddings
// and what visitors bring never pass through here.

const FILES = "FILES".split(" ");
const CACHE = "pseudoword-VERSION";

const ENGINE = FILES.filter((path) => path.startsWith("www/pkg/"));

const kept = new Set(FILES.map((path) => new URL(path, self.location).href));

self.addEventListener("install", (event) => {
  const keep = async () => {
    // Whoever asked for the engine of the version before has this one's, too.
    const had = await caches.match(ENGINE[0], { ignoreSearch: true });
    const files = FILES.filter((path) => had || !ENGINE.includes(path));
    // Past the browser's own cache, which may hold files of two versions.
    const cache = await caches.open(CACHE);
    await cache.addAll(files.map((path) => new Request(path, { cache: "reload" })));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

// The page says that the engine was asked for, and is there.
self.addEventListener("message", (event) => {
  if (event.data !== "engine") return;
  const keep = async () => {
    const cache = await caches.open(CACHE);
    if (await cache.match(ENGINE[0])) return;
    // The browser has just fetched it: it need only ask whether that is still the newest.
    await cache.addAll(ENGINE.map((path) => new Request(path, { cache: "no-cache" })));
  };
  event.waitUntil(keep().catch(() => {}));
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
