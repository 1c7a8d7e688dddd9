// "Make things happen": buttons that push commits, break the service or take Discord away, and what came of it.

import { h, icon } from "./dom.js";
import { clockTime } from "./time.js";
import { dots } from "./view.js";

export class Panel {
  constructor(view, onClose) {
    this.view = view;
    this.busy = new Set();
    this.about = h("p", { class: "panel-about" }, "Not part of Discord: each button does something real to the sample service. Watch the channel answer.");
    this.groups = h("div", { class: "panel-groups", tabindex: "-1" });
    this.log = h("ol", { class: "panel-log", role: "log", "aria-label": "What happened", "aria-live": "polite", data: { testid: "panel-log" } });
    this.root = h("aside", { class: "panel", id: "panel", "aria-labelledby": "panel-title" },
      h("header", { class: "panel-head" }, icon("bolt", 18), h("h2", { id: "panel-title" }, "Make things happen"),
        h("button", { type: "button", class: "icon-button panel-close", "aria-label": "Close the panel", on: { click: onClose } }, icon("close", 20))),
      this.groups, h("div", { class: "panel-foot" }, h("h3", { class: "panel-log-title" }, "What was done"), this.log));
    view.store.on("panel snapshot", () => this.draw());
    view.store.on("notes snapshot", () => this.drawLog());
  }

  draw() {
    const focused = this.root.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    const groups = new Map();
    for (const item of this.view.store.panel) {
      if (!groups.has(item.group)) groups.set(item.group, []);
      groups.get(item.group).push(item);
    }
    this.groups.replaceChildren(this.about, ...[...groups].map(([name, items]) =>
      h("section", { class: "panel-group" }, h("h3", null, name), items.map((item) => this.button(item)))));
    if (focused) this.root.querySelector(`[data-testid="${CSS.escape(focused)}"]`)?.focus();
  }

  button(item) {
    const busy = this.busy.has(item.id);
    return h("button", {
      type: "button", class: `panel-button ${item.danger ? "danger" : ""} ${busy ? "busy" : ""}`, disabled: item.disabled, "aria-busy": busy ? "true" : null,
      "aria-describedby": item.hint ? `hint-${item.id}` : null, "aria-label": item.label, data: { testid: `panel-${item.id}` }, on: { click: () => this.press(item) },
    }, h("span", { class: "panel-label" }, item.label, busy ? dots() : null), item.hint ? h("small", { id: `hint-${item.id}` }, item.hint) : null);
  }

  async press(item) {
    if (this.busy.has(item.id)) return;
    this.busy.add(item.id);
    this.draw();
    const answer = await this.view.connection.post(`/client/panel/${encodeURIComponent(item.id)}`, {});
    this.busy.delete(item.id);
    this.draw();
    const ok = answer.ok && answer.body.ok !== false;
    const text = answer.body.text ?? answer.body.message ?? (ok ? item.label : `${item.label}: it did not work`);
    this.view.store.note({ text, level: ok ? "info" : "error", at: new Date().toISOString() });
  }

  drawLog() {
    const { notes } = this.view.store;
    if (!notes.length) {
      this.log.replaceChildren(h("li", { class: "panel-empty" }, "Nothing yet."));
      return;
    }
    this.log.replaceChildren(...[...notes].reverse().map((n) =>
      h("li", { class: n.level === "error" ? "error" : "" }, h("time", null, clockTime(moment(n.at))), h("span", null, n.text))));
  }
}

/** `at` may be ISO 8601 or seconds since 1970. */
function moment(at) {
  const date = typeof at === "number" ? new Date(at * 1000) : new Date(at);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}
