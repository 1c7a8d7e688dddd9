// The list above the composer: commands or choices, driven from the field that owns it.

import { h } from "./dom.js";

export class Picker {
  /** `onPick(index)` runs on click; the owner's keys go through key(). */
  constructor(onPick) {
    this.onPick = onPick;
    this.items = [];
    this.active = 0;
    this.list = h("div", { class: "picker-list", role: "listbox", id: "picker-list", "aria-label": "Suggestions" });
    this.head = h("div", { class: "picker-head" });
    this.root = h("div", { class: "picker", hidden: true, data: { testid: "picker" } }, this.head, this.list);
  }

  /** `items` are nodes, one a row, `active` the chosen one (-1: none yet); `empty` stands when there are none; `head` above them. */
  show({ head, items, empty = null, owner, active = 0 }) {
    this.items = items;
    this.active = Math.min(active, Math.max(0, items.length - 1));
    this.head.replaceChildren(...(head ? [head].flat() : []));
    this.head.hidden = !head;
    this.list.hidden = !items.length && !empty;
    this.list.replaceChildren(...items.map((content, i) =>
      h("div", {
        class: "picker-row", role: "option", id: `picker-${i}`, "aria-selected": "false",
        on: { mousedown: (event) => event.preventDefault(), click: () => this.onPick(i), mousemove: () => i !== this.active && this.select(i) },
      }, content)));
    if (!items.length && empty) this.list.append(h("div", { class: "picker-empty" }, empty));
    this.owner = owner;
    owner?.setAttribute("aria-controls", "picker-list");
    this.root.hidden = false;
    this.select(this.active);
  }

  hide() {
    this.root.hidden = true;
    this.items = [];
    this.owner?.removeAttribute("aria-activedescendant");
  }

  get open() {
    return !this.root.hidden && this.items.length > 0;
  }

  select(i) {
    this.active = i;
    [...this.list.children].forEach((row, j) => {
      row.classList.toggle("active", j === i);
      row.setAttribute("aria-selected", String(j === i));
    });
    this.owner?.removeAttribute("aria-activedescendant");
    if (!this.items.length || i < 0) return;
    this.list.children[i]?.scrollIntoView({ block: "nearest" });
    this.owner?.setAttribute("aria-activedescendant", `picker-${i}`);
  }

  /** Takes an arrow key; true when it was used. */
  key(event) {
    if (!this.open || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return false;
    event.preventDefault();
    const step = event.key === "ArrowDown" ? 1 : -1;
    const from = this.active < 0 && step < 0 ? 0 : this.active;
    this.select((from + step + this.items.length) % this.items.length);
    return true;
  }
}
