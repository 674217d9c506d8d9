"use strict";

// Everything that needs a script is added by it: without one the page has no dead button.
(() => {
  function button(label, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", action);
    return made;
  }

  // Theme: the reader's system decides until the button is pressed; nothing is stored.
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const toggle = button("", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  function label() {
    toggle.textContent = isDark() ? "Light colours" : "Dark colours";
  }
  toggle.className = "theme";
  system.addEventListener("change", label);
  label();
  document.querySelector("header").append(toggle);

  // Code: copy, or where the browser does not allow it, select.
  for (const block of document.querySelectorAll(".code")) {
    const code = block.querySelector("code");
    const copy = button("Copy", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
      } catch {
        window.getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
      window.setTimeout(() => (copy.textContent = "Copy"), 2000);
    });
    block.append(copy);
  }

  // Tables: the title of a column sorts by it, once more the other way round.
  const words = new Intl.Collator(undefined, { numeric: true });
  function compare_runs(kind, a, b) {
    return kind === "number" ? Number(a) - Number(b) : words.compare(a, b);
  }
  function sort(table, column) {
    const titles = [...table.tHead.rows[0].cells];
    const title = titles[column];
    const up = title.getAttribute("aria-sort") !== "ascending";
    for (const other of titles) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return (up ? 1 : -1) * compare_runs(title.dataset.kind, x, y);
    };
    body.append(...[...body.rows].sort(order));
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((title, column) => {
      const sorter = button(title.textContent, () => sort(table, column));
      title.replaceChildren(sorter);
    });
  }
})();
