// The page of a run that goes on, while `mkdocs serve` shows it: asks every second where the run is, and draws its curves anew.
(() => {
  const EVERY_MS = 1000;
  let stamp = "";

  const show = ({ sentence, step, planned, curves, going_on: goingOn }) => {
    for (const line of document.querySelectorAll("[data-live]")) { // below the box that says how the run is
      const title = line.previousElementSibling.querySelector(".admonition-title");
      title.textContent = sentence;
      while (title.nextElementSibling) title.nextElementSibling.remove();
      line.hidden = false;
      line.textContent = goingOn ? "This page follows the run." : "The run has ended; the page is made anew now.";
    }
    for (const bar of document.querySelectorAll("progress[max]")) {
      if (planned) bar.value = Math.min(step, planned);
    }
    for (const host of document.querySelectorAll(".curves--drawn")) {
      const series = curves[host.dataset.title];
      if (series?.length) host.dispatchEvent(new CustomEvent("curves:new", { detail: series }));
    }
  };

  const ask = async () => {
    if (document.visibilityState === "visible") {
      try {
        const answer = await fetch(`live.json?stamp=${encodeURIComponent(stamp)}`, { cache: "no-store" });
        if (answer.status === 404) return; // the run's folder is gone
        const found = answer.ok ? await answer.json() : {};
        if (found.stamp) {
          stamp = found.stamp;
          show(found);
          if (!found.going_on) return;
        }
      } catch {
        // The server is being started again: ask on.
      }
    }
    setTimeout(ask, EVERY_MS);
  };

  ask();
})();
