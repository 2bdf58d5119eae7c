// The theme's switch, the place in the list of contents, and tables that sort by a click on a column's head.
(function () {
  "use strict";
  const root = document.documentElement, button = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  system.addEventListener("change", label);
  label();

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(each => { each.open = true; }));

  const nav = document.querySelector("nav"), links = [...nav.querySelectorAll("a")];
  const parts = links.map(each => document.querySelector(each.hash));
  function mark() {
    const end = innerHeight + scrollY >= document.body.scrollHeight - 2;
    const at = end ? parts.length - 1 : Math.max(0, parts.findLastIndex(each => each.getBoundingClientRect().top < innerHeight / 3));
    links.forEach((each, index) => index === at ? each.setAttribute("aria-current", "true") : each.removeAttribute("aria-current"));
    const link = links[at], wide = nav.scrollWidth > nav.clientWidth;
    if (wide) nav.scrollLeft = link.offsetLeft - (nav.clientWidth - link.offsetWidth) / 2;
    else if (nav.scrollHeight > nav.clientHeight) nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
  }
  let waiting = false;
  addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; mark(); });
    waiting = true;
  }, {passive: true});
  mark();

  const order = new Intl.Collator("en", {numeric: true}), number = text => parseFloat(text.replace(/,/g, "").replace("\u2212", "-"));
  function key(row, at) {
    const cell = row.cells[at];
    return cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
  }
  function sort(head, at) {
    const body = head.closest("table").tBodies[0], rows = [...body.rows];
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1, numeric = head.classList.contains("amount");
    const total = rows.filter(each => each.classList.contains("total")), others = rows.filter(each => !each.classList.contains("total"));
    others.sort((one, two) => {
      const [a, b] = [key(one, at), key(two, at)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return way * (numeric && !isNaN(number(a)) && !isNaN(number(b)) ? number(a) - number(b) : order.compare(a, b));
    });
    head.parentNode.querySelectorAll("th").forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    body.append(...others, ...total);
  }
  document.querySelectorAll("main > section table").forEach(table => {
    if (table.tBodies[0].rows.length < 3 || table.closest("#what-if")) return;
    table.querySelectorAll("th").forEach((head, at) => {
      if (!head.textContent.trim()) return;
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = head.textContent;
      made.title = "Sort by this column";
      head.replaceChildren(made);
      made.addEventListener("click", () => sort(head, at));
    });
  });
})();
