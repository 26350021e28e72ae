// Pan and zoom for Mermaid diagrams. Each is in the shadow root of a <div class="mermaid">, where the site's build or, if it had
// no browser, Material has put it, so that this host element itself is moved and scaled inside a frame. Buttons, Ctrl + wheel,
// drag, double click and keys work.
(() => {
  const SMALLEST = 0.25;
  const LARGEST = 8;

  const button = (label, text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "diagram__button";
    made.title = made.ariaLabel = label;
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  };

  const wrap = (host) => {
    const left = host.querySelector(":scope > template[shadowrootmode]"); // browsers before 2024 do not attach it themselves
    if (left) host.attachShadow({ mode: "open" }).append(left.content);
    const frame = document.createElement("div");
    frame.className = "diagram";
    host.before(frame);
    const stage = document.createElement("div");
    stage.className = "diagram__stage";
    stage.tabIndex = 0;
    stage.setAttribute("role", "group");
    stage.ariaLabel = "Diagram; arrow keys move it, plus and minus scale it, 0 resets it";
    stage.append(host);

    let [x, y, scale] = [0, 0, 1];
    const show = () => {
      host.style.transform = x || y || scale !== 1 ? `translate(${x}px, ${y}px) scale(${scale})` : "";
    };
    const move = (dx, dy) => { x += dx; y += dy; show(); };
    const reset = () => { [x, y, scale] = [0, 0, 1]; show(); };
    const zoom = (factor, clientX, clientY) => {
      const box = stage.getBoundingClientRect();
      const [px, py] = clientX === undefined ? [box.width / 2, box.height / 2] : [clientX - box.left, clientY - box.top];
      const next = Math.min(LARGEST, Math.max(SMALLEST, scale * factor));
      x = px - (px - x) * (next / scale);
      y = py - (py - y) * (next / scale);
      scale = next;
      show();
    };

    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls as everywhere
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX, event.clientY);
    }, { passive: false });
    stage.addEventListener("dblclick", reset);
    stage.addEventListener("keydown", (event) => {
      const keys = {
        "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: reset,
        ArrowLeft: () => move(40, 0), ArrowRight: () => move(-40, 0), ArrowUp: () => move(0, 40), ArrowDown: () => move(0, -40),
      };
      if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });

    // A drag begins after 4 pixels, so that a click on a linked box stays a click.
    let start = null;
    let dragged = false;
    stage.addEventListener("pointerdown", (event) => {
      dragged = false;
      if (event.button === 0 && (event.pointerType === "mouse" || scale !== 1)) start = [event.clientX, event.clientY, x, y];
    });
    stage.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [dx, dy] = [event.clientX - start[0], event.clientY - start[1]];
      if (!dragged && Math.hypot(dx, dy) < 4) return;
      if (!dragged) stage.setPointerCapture(event.pointerId);
      dragged = true;
      [x, y] = [start[2] + dx, start[3] + dy];
      show();
    });
    const end = () => { start = null; };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    stage.addEventListener("dragstart", (event) => event.preventDefault()); // links would be dragged as text
    stage.addEventListener("click", (event) => {
      if (dragged) { event.preventDefault(); event.stopPropagation(); }
      dragged = false;
    }, { capture: true });

    const bar = document.createElement("div");
    bar.className = "diagram__bar";
    bar.append(
      button("Zoom in", "+", () => zoom(1.25)),
      button("Zoom out", "\u2212", () => zoom(0.8)),
      button("Reset the diagram", "\u21ba", reset),
    );
    frame.append(bar, stage);
  };

  // Material exchanges <pre class="mermaid"> for <div class="mermaid"> when it has drawn it.
  const scan = (root) => root.querySelectorAll("div.mermaid").forEach((host) => {
    if (!host.closest(".diagram")) wrap(host);
  });
  new MutationObserver(() => scan(document.body)).observe(document.body, { childList: true, subtree: true });
  scan(document.body);
})();
