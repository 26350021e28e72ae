// Tables inside <div class="sortable" markdown> are sorted by a click, or Enter, on a column's head.
(() => {
  // "1.2 s" -> 1.2, "12,345" -> 12345; text that does not begin with a number -> null.
  const number = (text) => {
    const found = text.replace(/,(?=\d{3})/g, "").replace(/\u2212/g, "-").match(/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/i);
    return found ? Number(found[0]) : null;
  };

  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (x !== null && y !== null) return x - y;
    if ((x === null) !== (y === null)) return x === null ? 1 : -1;
    return a.localeCompare(b);
  };

  const isEmpty = (text) => ["", "-", "\u2013", "\u2014", "not run"].includes(text);

  const sort = (table, column, direction) => {
    const body = table.tBodies[0];
    const text = (row) => row.cells[column].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      if (isEmpty(text(a)) || isEmpty(text(b))) return isEmpty(text(a)) - isEmpty(text(b)); // last in both directions
      return direction * compare(text(a), text(b));
    });
    body.append(...rows);
  };

  document$.subscribe(({ body }) => {
    for (const table of body.querySelectorAll(".sortable table:not([data-sortable])")) {
      table.dataset.sortable = "";
      const heads = [...table.tHead.rows[0].cells];
      heads.forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.title = "Sort by this column";
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => {
          const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
          heads.forEach((other) => other.removeAttribute("aria-sort"));
          head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
          sort(table, column, direction);
        });
      });
    }
  });
})();
