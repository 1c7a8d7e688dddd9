// The composer: plain messages, the list of commands after a slash, and the command being filled in.

import { CommandForm } from "./command-form.js";
import { filter, runnable } from "./commands.js";
import { h, icon } from "./dom.js";
import { Picker } from "./picker.js";
import { isThread } from "./store.js";

const MAX_LENGTH = 2000;

export class Composer {
  constructor(view) {
    this.view = view;
    this.form = null;
    this.matches = [];
    this.picker = new Picker((i) => this.start(this.matches[i]));
    this.text = h("textarea", {
      class: "composer-text", rows: "1", data: { testid: "composer" }, role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false",
      "aria-haspopup": "listbox", autocomplete: "off", spellcheck: "false",
    });
    this.slash = h("button", {
      type: "button", class: "icon-button", "aria-label": "Use a command", data: { tip: "Use a command" },
      on: { click: () => this.openCommands() },
    }, icon("slash", 22));
    this.error = h("div", { class: "composer-error", role: "alert", hidden: true });
    this.count = h("span", { class: "composer-count", hidden: true });
    this.box = h("div", { class: "composer-box" }, this.text, this.count, this.slash);
    this.popup = h("div", { class: "composer-popup" }, this.picker.root);
    this.typing = h("div", { class: "typing", "aria-live": "polite" });
    this.root = h("div", { class: "composer" }, this.popup, this.box, this.error, this.typing);
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (event) => this.key(event));
    this.text.addEventListener("blur", () => setTimeout(() => document.activeElement !== this.text && this.hideList(), 100));
    this.text.addEventListener("focus", () => this.typed());
    const { store } = view;
    store.on("channel snapshot channels", () => this.drawPlaceholder());
    store.on("channel snapshot", () => this.form?.end(""));
    store.on("commands", () => this.typed());
    store.on("typing channel members", () => this.drawTyping());
  }

  drawPlaceholder() {
    const channel = this.view.store.channels.get(this.view.store.channelId);
    const name = channel ? (isThread(channel) ? `"${channel.name}"` : `#${channel.name}`) : "";
    this.text.placeholder = `Message ${name}`;
    this.text.setAttribute("aria-label", `Message ${name}. Type a slash for commands`);
  }

  openCommands() {
    this.form?.end("");
    this.text.value = "/";
    this.text.focus();
    this.typed();
  }

  hideList() {
    this.picker.hide();
    this.text.setAttribute("aria-expanded", "false");
  }

  typed() {
    this.error.hidden = true;
    this.text.style.setProperty("height", "auto");
    if (this.text.scrollHeight) this.text.style.setProperty("height", `${Math.min(this.text.scrollHeight, 300)}px`);
    const left = MAX_LENGTH - [...this.text.value].length;
    this.count.hidden = left > 200;
    this.count.textContent = String(left);
    this.count.classList.toggle("over", left < 0);
    const { value } = this.text;
    if (this.form || document.activeElement !== this.text || !/^\/[^\n]*$/.test(value)) {
      this.hideList();
      return;
    }
    const all = runnable(this.view.store.commands);
    const exact = value.endsWith(" ") && all.find((c) => `/${c.name} ` === value);
    if (exact) {
      this.start(exact);
      return;
    }
    this.matches = filter(all, value.slice(1));
    this.drawList();
  }

  drawList() {
    const { store } = this.view;
    const bot = store.application.bot ?? { id: store.application.id, username: store.application.name, bot: true };
    if (!this.matches.length && this.text.value.includes(" ")) {
      this.hideList();
      return;
    }
    this.picker.show({
      head: h("div", { class: "picker-title" }, this.view.avatar(bot, 20), store.application.name),
      items: this.matches.map((c) => h("span", { class: "command-row" }, this.view.avatar(bot, 32),
        h("span", { class: "command-about" },
          h("span", { class: "command-line" }, h("strong", null, `/${c.name}`), c.options.map((o) => h("span", { class: `option-chip ${o.required ? "" : "optional"}` }, o.name))),
          h("small", null, c.description)),
        h("span", { class: "command-app" }, store.application.name))),
      empty: store.connected ? "No commands match" : "No commands yet: the bot has not registered any",
      owner: this.text,
    });
    this.text.setAttribute("aria-expanded", "true");
  }

  key(event) {
    if (event.isComposing || this.picker.key(event)) return;
    const listed = this.picker.open && this.text.value.startsWith("/");
    if (event.key === "Escape") {
      if (this.text.value.startsWith("/")) this.text.value = "";
      else this.view.store.markRead();
      this.typed();
    } else if (event.key === "Tab" && listed && !event.shiftKey) {
      event.preventDefault();
      this.start(this.matches[this.picker.active]);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (listed) this.start(this.matches[this.picker.active]);
      else void this.send();
    }
  }

  start(entry) {
    this.hideList();
    this.text.value = "";
    this.form = new CommandForm(this.view, entry, (text) => this.finish(text));
    this.text.hidden = true;
    this.count.hidden = true;
    this.box.insertBefore(this.form.root, this.text);
    this.popup.append(this.form.picker.root);
    this.box.classList.add("with-command");
    this.form.focus();
  }

  finish(text) {
    const { form } = this;
    this.form = null;
    const focused = this.root.contains(document.activeElement) || document.activeElement === document.body;
    form.picker.root.remove();
    form.root.remove();
    this.text.hidden = false;
    this.text.value = text;
    this.box.classList.remove("with-command");
    if (focused) this.text.focus();
    this.typed();
  }

  async send() {
    const content = this.text.value.trim();
    if (!content || [...content].length > MAX_LENGTH) return;
    this.text.value = "";
    this.typed();
    const error = await this.view.acts.message(content);
    if (error === null) return;
    if (!this.text.value) this.text.value = content;
    this.typed();
    this.error.textContent = error;
    this.error.hidden = false;
  }

  drawTyping() {
    const { store } = this.view;
    const now = Date.now();
    const names = [...(store.typing.get(store.channelId) ?? [])].filter(([, until]) => until > now).map(([id]) => store.userName(id) ?? "Someone");
    if (!names.length) {
      this.typing.replaceChildren();
      return;
    }
    const strong = (name) => h("strong", null, name);
    const words = names.length > 3 ? ["Several people are typing…"]
      : names.length === 1 ? [strong(names[0]), " is typing…"]
      : [names.slice(0, -1).flatMap((n, i) => [i ? ", " : null, strong(n)]), " and ", strong(names.at(-1)), " are typing…"];
    this.typing.replaceChildren(h("span", { class: "dots small", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", null, ...words));
  }
}
