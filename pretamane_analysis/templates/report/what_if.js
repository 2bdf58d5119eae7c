// Adds up what is in #answers for the choices of the form. Amounts are whole numbers of 10^-30 USD, so every sum is exact.
(function () {
  "use strict";
  const PLACES = 30, ONE = 10n ** BigInt(PLACES);
  const answers = JSON.parse(document.getElementById("answers").textContent);
  const section = document.getElementById("what-if"), form = section.querySelector("form"), reset = form.querySelector("[type=reset]");
  const titles = [...section.querySelectorAll("th[title]")].map(each => each.title);

  function exact(text) {
    const [whole, rest = ""] = text.replace("-", "").split(".");
    const amount = BigInt((whole || "0") + rest.padEnd(PLACES, "0").slice(0, PLACES));
    return text.startsWith("-") ? -amount : amount;
  }

  // Rounded half up, away from zero, as Python's decimal does it.
  function rounded(amount, places) {
    const unit = ONE / 10n ** BigInt(places), size = amount < 0n ? -amount : amount;
    const digits = String((2n * size + unit) / (2n * unit)).padStart(places + 1, "0");
    const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
    const sign = amount < 0n && /[1-9]/.test(digits) ? "\u2212" : "";
    return sign + whole + (places ? "." + digits.slice(-places) : "");
  }

  const money = amount => amount === null ? "no price" : rounded(amount, 2);
  const percent = (part, whole) => (whole ? rounded(100n * part * ONE / whole, 1).replace(/\.0$/, "") : "0") + " %";

  const size = amount => amount < 0n ? -amount : amount;

  const less = (part, whole) => `${percent(size(part), whole)} ${part < 0n ? "more" : "less"}`;

  // An entry is an amount, a line over egress, or the number of the sentence that says why there is none.
  function priced(entry, chosen) {
    if (typeof entry === "number") {
      return {amount: null, why: answers.sentences[entry].replaceAll("{option}", chosen.option)};
    }
    if (typeof entry === "string") {
      return {amount: exact(entry)};
    }
    const [from, usd, rate] = entry.findLast(corner => exact(corner[0]) <= chosen.egress);
    if (usd === "") {
      return {amount: null, why: `no rate is known beyond ${from} GB of egress`};
    }
    return {amount: exact(usd) + (chosen.egress - exact(from)) * exact(rate) / ONE};
  }

  // The machines of a side: an object, or the number of the sentence that says why there are none.
  function machinesOf(side, chosen, option) {
    const bought = answers.regions[chosen.region][side].machines[side === "ec2" ? chosen.memory : ""];
    return option in bought ? bought[option] : bought.missing;
  }

  // Only ways to pay that have a price for both sides in the region are offered; one that is chosen stays, and says what it lacks.
  function offer(chosen) {
    for (const each of form.elements["purchase-option"].options) {
      const sold = ["eks", "ec2"].every(side => typeof machinesOf(side, chosen, each.value) === "object");
      each.hidden = each.disabled = Boolean(each.value) && !sold && each.value !== chosen.option;
    }
  }

  function bill(side, chosen) {
    const host = machinesOf(side, chosen, chosen.option);
    const features = {...answers.regions[chosen.region][side].features, ...host.features};
    const compute = typeof host === "number" ? host : host.usd;
    const lines = Object.keys(answers.features).map(key => priced(key in features ? features[key] : compute, chosen));
    const why = [...new Set(lines.filter(each => each.amount === null).map(each => each.why))];
    return {lines, why, machines: host.machines || "no machine", total: why.length ? null : lines.reduce((sum, each) => sum + each.amount, 0n)};
  }

  function command(side, chosen) {
    const given = {region: [chosen.region, answers.region], egress: [chosen.text, answers.egress],
      memory: [side === "ec2" ? chosen.memory : "", ""], "purchase-option": [chosen.option, ""]};
    const changed = Object.entries(given).filter(([, [now, before]]) => now !== before).map(([name, [now]]) => ` --${name} ${now}`);
    return `${answers.command} --architecture ${side}${changed.join("")}`;
  }

  function row(cells, kind) {
    const made = document.createElement("tr");
    made.className = kind || "";
    cells.forEach((text, at) => {
      const cell = made.appendChild(document.createElement("td"));
      cell.className = at ? "amount" : "";
      cell.textContent = text;
    });
    return made;
  }

  function sentence(bills, chosen) {
    const [first, second] = bills, place = `${answers.stack} in ${chosen.region}, with ${chosen.text} GB of egress: `;
    const costs = bills.map((each, at) => `${each.total === null ? "not known" : money(each.total) + " USD a month"} on ${titles[at]} (${each.machines})`);
    const saving = first.total === null || second.total === null ? "" : `, ${less(first.total - second.total, first.total)}`;
    return `${place}${costs.join(", ")}${saving}.`;
  }

  function show(bills, chosen) {
    const minus = (a, b) => a === null || b === null ? null : b - a, [first, second] = bills;
    const rows = Object.values(answers.features).map((title, at) => {
      const pair = bills.map(each => each.lines[at].amount);
      return row([title, ...pair.map(money), money(minus(...pair))]);
    });
    const total = ["total", money(first.total), money(second.total), money(minus(first.total, second.total))];
    section.querySelector("tbody").replaceChildren(...rows, row(total, "total"));
    section.querySelector("ul").replaceChildren(...[...new Set(bills.flatMap(each => each.why))].map(text => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    section.querySelector("pre").textContent = ["eks", "ec2"].map(side => command(side, chosen)).join("\n");
    section.querySelector("[role=status]").textContent = sentence(bills, chosen);
  }

  // The verdict and the cards follow the form.
  function answer(bills, chosen) {
    const [first, second] = bills.map(each => each.total), known = first !== null && second !== null, saved = known ? first - second : 0n;
    const live = {
      region: chosen.region, less: known ? less(saved, first) : "an unknown amount more or less", percent: known ? percent(size(saved), first) : "not known",
      word: saved < 0n ? "more" : "less", saved: saved < 0n ? "more" : "saved", "total-0": money(first), "total-1": money(second), "machines-0": bills[0].machines,
      "machines-1": bills[1].machines, difference: known ? money(size(saved)) : "no price", year: known ? money(12n * size(saved)) : "no price"};
    document.querySelectorAll("[data-live]").forEach(each => { each.textContent = live[each.dataset.live]; });
    document.getElementById("answer").classList.toggle("more", saved < 0n);
  }

  function update() {
    const read = new FormData(form), text = read.get("egress").trim(), valid = /^(\d+\.?\d*|\.\d+)$/.test(text);
    form.elements.egress.setAttribute("aria-invalid", String(!valid));
    if (!valid) {
      section.querySelector("[role=status]").textContent = `Egress: a number of 0 or more is expected, not '${text}'.`;
      return;
    }
    const chosen = {region: read.get("region"), memory: read.get("memory"), option: read.get("purchase-option"), text, egress: exact(text)};
    const bills = ["eks", "ec2"].map(side => bill(side, chosen));
    reset.disabled = !["eks", "ec2"].some(side => command(side, chosen) !== `${answers.command} --architecture ${side}`);
    offer(chosen);
    show(bills, chosen);
    answer(bills, chosen);
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  section.hidden = false;
  update();
})();
