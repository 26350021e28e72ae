// A service worker of this folder alone: it adds the two headers without which browsers give a page no threads that share
// memory. Hosts of static files cannot send them. It stores nothing and changes nothing else.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.mode !== "navigate" && request.destination !== "worker") return;
  event.respondWith((async () => {
    const response = await fetch(request);
    if (response.type === "opaqueredirect") return response;
    const headers = new Headers(response.headers);
    headers.set("Cross-Origin-Opener-Policy", "same-origin");
    headers.set("Cross-Origin-Embedder-Policy", "require-corp");
    return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
  })());
});
