// Run in a headless browser while the site is built (diagrams.py): Mermaid draws flowcharts, and what their SVG does not need is
// taken off, nine tenths of it. The look of what is left is DIAGRAM_STYLE in diagrams.py, in the colours of the reader's page.
const KEPT = ["node", "cluster", "flowchart-link", "edgeLabel", "edge-thickness-thick", "edge-pattern-dotted", "wraps"];
const DIGITS = /-?\d+\.\d+/g;

const rounded = (text) => text.replace(DIGITS, (number) => String(Math.round(number * 10) / 10));

const bare = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// A box with round ends is drawn by Mermaid as four hundred curves.
const asRectangle = (group) => {
  const path = group.querySelector("path");
  const { x, y, width, height } = path.getBBox();
  const around = 2 * (width - height) + Math.PI * height;
  if (Math.abs(path.getTotalLength() / around - 1) > 0.02) return;
  group.replaceWith(bare("rect", { x, y, width, height, rx: height / 2, style: path.getAttribute("style") ?? "" }));
};

// <foreignObject><div><span><p>words</p></span></div></foreignObject> -> <foreignObject><div>words</div></foreignObject>
const plainLabel = (label) => {
  const box = label.querySelector("div");
  const wraps = box.style.whiteSpace === "break-spaces";
  const words = box.querySelector("p") ?? box.querySelector("span") ?? box;
  const made = document.createElement("div");
  if (wraps) made.className = "wraps";
  made.style.width = wraps ? box.style.width : "";
  made.append(...words.childNodes);
  label.replaceChildren(made);
  return made.textContent.trim() !== "";
};

const lean = (svg) => {
  for (const group of svg.querySelectorAll("g.outer-path")) asRectangle(group);
  for (const label of svg.querySelectorAll("foreignObject")) {
    if (!plainLabel(label)) (label.closest(".edgeLabel") ?? label).remove();
  }
  const used = new Set([...svg.querySelectorAll("[marker-end], [marker-start]")].flatMap((edge) =>
    ["marker-end", "marker-start"].map((end) => edge.getAttribute(end)?.slice(5, -1))));
  for (const each of svg.querySelectorAll("style, defs, marker")) if (!used.has(each.id)) each.remove();
  for (const each of svg.querySelectorAll("rect")) if (!each.hasAttribute("width")) each.remove();
  for (const each of svg.querySelectorAll("*")) {
    const classes = KEPT.filter((name) => each.classList.contains(name));
    const style = (each.getAttribute("style") ?? "").replaceAll(" !important", "").replace(/^;|;$/g, "");
    for (const { name, value } of [...each.attributes]) {
      if (name.startsWith("data-") || ["class", "style", "xmlns"].includes(name)) each.removeAttribute(name);
      else if (name === "id" && each.tagName !== "marker") each.removeAttribute(name);
      else if (/\d\.\d\d/.test(value)) each.setAttribute(name, rounded(value));
    }
    if (classes.length) each.setAttribute("class", classes.join(" "));
    if (style && each.localName !== "marker" && !each.closest("marker")) each.setAttribute("style", rounded(style));
  }
  const empty = () => [...svg.querySelectorAll("g:not(:has(*))")];
  while (empty().length) for (const each of empty()) each.remove();
  svg.removeAttribute("id");
  svg.setAttribute("style", `max-width: ${rounded(svg.style.maxWidth)}`);
  return svg.outerHTML;
};

const main = async ({ settings, sources }) => {
  mermaid.initialize({ startOnLoad: false, ...settings });
  const drawn = {};
  for (const [name, source] of Object.entries(sources)) {
    try {
      const stage = document.createElement("div");
      document.body.append(stage);
      stage.innerHTML = (await mermaid.render("d", source)).svg;
      drawn[name] = lean(stage.firstElementChild);
      stage.remove();
    } catch (error) {
      console.error(name, error); // Mermaid itself tells the reader what is wrong with a diagram
    }
  }
  const answer = document.createElement("pre");
  answer.id = "drawn";
  answer.textContent = JSON.stringify(drawn);
  document.body.replaceChildren(answer);
};

main(JSON.parse(document.getElementById("asked").textContent));
