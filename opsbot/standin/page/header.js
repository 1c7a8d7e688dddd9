// The header of the open channel, and the banners that say who is not connected.

import { h, icon } from "./dom.js";
import { markdown } from "./markdown-dom.js";
import { isThread } from "./store.js";
import { iconButton } from "./view.js";

export class Header {
  /** `toggle(name)` opens or closes "nav", "members" or "panel". */
  constructor(view, toggle) {
    this.view = view;
    this.title = h("div", { class: "header-title" });
    this.buttons = {
      nav: iconButton("menu", "Channels", () => toggle("nav"), { class: "icon-button open-nav" }),
      members: iconButton("members", "Members", () => toggle("members"), { class: "icon-button", "aria-controls": "members" }),
      panel: iconButton("bolt", "Make things happen", () => toggle("panel"), { class: "icon-button", "aria-controls": "panel" }),
    };
    this.root = h("header", { class: "header" }, this.buttons.nav, this.title, h("div", { class: "header-tools" }, this.buttons.members, this.buttons.panel));
    view.store.on("channel channels snapshot", () => this.draw());
  }

  pressed(name, on) {
    this.buttons[name].setAttribute("aria-expanded", String(on));
    this.buttons[name].classList.toggle("on", on);
  }

  draw() {
    const { store } = this.view;
    const channel = store.channels.get(store.channelId);
    if (!channel) {
      this.title.replaceChildren();
      return;
    }
    document.title = `${isThread(channel) ? "" : "#"}${channel.name} | ${store.guild.name}`;
    const parent = isThread(channel) ? store.channels.get(channel.parent_id) : null;
    this.title.replaceChildren(...[
      icon("hash", 24, "header-icon"),
      parent ? h("button", { type: "button", class: "header-parent", on: { click: () => store.open(parent.id) } }, parent.name) : null,
      parent ? icon("right", 14, "header-icon") : null,
      parent ? icon("thread", 20, "header-icon") : null,
      h("h2", null, channel.name),
      channel.topic ? h("div", { class: "topic", data: { testid: "topic" }, title: channel.topic }, markdown(channel.topic.replace(/\n/g, " "), this.view, { blocks: false })) : null,
    ].filter(Boolean));
  }
}

export class Banner {
  constructor(view) {
    this.view = view;
    this.root = h("div", { class: "banner", role: "status", hidden: true, data: { testid: "banner" } });
    view.store.on("connection snapshot", () => this.draw());
  }

  words() {
    const { store } = this.view;
    const bot = store.application.name;
    if (store.socket === "lost") return ["lost", "Connection to the stand-in lost. Trying again…"];
    if (store.socket !== "open") return null;
    if (store.away) return ["away", `Discord is away: ${bot} cannot reach it. What happens now is told when it is back.`];
    if (!store.connected) return ["off", `${bot} is not connected. Commands and buttons will not be answered.`];
    return null;
  }

  draw() {
    const words = this.words();
    this.root.hidden = words === null;
    if (!words) return;
    this.root.className = `banner ${words[0]}`;
    this.root.replaceChildren(icon("warning", 18), h("span", null, words[1]));
  }
}
