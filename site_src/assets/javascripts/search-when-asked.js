// The index of the search is the heaviest file of a page, and most visits search nothing: it is fetched when the search is
// pointed at, focused or called by its key. Pages from file:// load it as a script, as before.
(() => {
  const { open, send } = XMLHttpRequest.prototype;
  const asked = new Promise((resolve) => {
    if (/[?&][qh]=/.test(location.search)) resolve();
    for (const kind of ["focusin", "pointerover", "touchstart"]) {
      document.addEventListener(kind, ({ target }) => {
        if (target.closest?.(".md-search, [for=__search]")) resolve();
      }, { passive: true });
    }
    document.addEventListener("keydown", ({ key }) => {
      if (["f", "s", "/"].includes(key)) resolve();
    });
  });
  XMLHttpRequest.prototype.open = function (method, url, ...others) {
    this.isIndex = String(url).endsWith("search/search_index.json");
    return open.call(this, method, url, ...others);
  };
  XMLHttpRequest.prototype.send = function (...body) {
    if (this.isIndex) asked.then(() => send.apply(this, body));
    else send.apply(this, body);
  };
})();
