// The server rail, and the channels with their threads.

import { h, icon } from "./dom.js";
import { isThread } from "./store.js";

export class Sidebar {
  constructor(view, onOpen) {
    this.view = view;
    this.onOpen = onOpen;
    this.folded = new Set();
    this.rail = h("nav", { class: "rail", "aria-label": "Servers" });
    this.name = h("h1", { class: "guild-name" });
    this.list = h("ul", { class: "channel-list" });
    this.root = h("nav", { class: "channels", "aria-label": "Channels" }, h("header", { class: "guild-head" }, this.name), this.list);
    view.store.on("channels channel unread snapshot", () => this.draw());
  }

  draw() {
    const { store } = this.view;
    const initials = store.guild.name.split(/\s+/).map((w) => [...w][0] ?? "").join("").slice(0, 3);
    this.rail.replaceChildren(
      h("span", { class: "rail-home", "aria-hidden": "true" }, h("img", { src: "/static/bot.svg", alt: "", width: 40, height: 40 })),
      h("span", { class: "rail-line", "aria-hidden": "true" }),
      h("span", { class: "rail-guild", "aria-current": "true", title: store.guild.name }, initials));
    this.name.textContent = store.guild.name;
    const all = [...store.channels.values()];
    const tops = all.filter((c) => !isThread(c) && c.type !== 4);
    const groups = all.filter((c) => c.type === 4).sort(byPosition);
    this.list.replaceChildren(
      ...tops.filter((c) => !c.parent_id).sort(byPosition).flatMap((c) => this.withThreads(c)),
      ...groups.flatMap((g) => this.group(g, tops.filter((c) => c.parent_id === g.id).sort(byPosition))));
  }

  group(category, children) {
    const folded = this.folded.has(category.id);
    const toggle = () => {
      if (folded) this.folded.delete(category.id);
      else this.folded.add(category.id);
      this.draw();
    };
    const head = h("li", { class: "category" }, h("button", { type: "button", "aria-expanded": String(!folded), on: { click: toggle } },
      h("span", null, category.name), icon("chevron", 12, folded ? "turned" : "")));
    const { store } = this.view;
    const kept = folded ? children.filter((c) => c.id === store.channelId || store.unread.get(c.id)?.count) : children;
    return [head, ...kept.flatMap((c) => this.withThreads(c))];
  }

  withThreads(channel) {
    const threads = [...this.view.store.channels.values()]
      .filter((c) => isThread(c) && c.parent_id === channel.id && (!archived(c) || c.id === this.view.store.channelId))
      .sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
    const row = h("li", null, this.row(channel, "hash"));
    if (!threads.length) return [row];
    return [row, h("li", { class: "threads" }, h("ul", { "aria-label": `Threads in ${channel.name}` }, threads.map((t) => h("li", null, this.row(t, null)))))];
  }

  row(channel, iconName) {
    const { store } = this.view;
    const open = channel.id === store.channelId;
    const unread = open ? null : store.unread.get(channel.id);
    return h("button", {
      type: "button", class: `channel ${open ? "open" : ""} ${unread?.count ? "unread" : ""}`, "aria-current": open ? "page" : null,
      data: { testid: `channel-${channel.id}` },
      on: {
        click: () => {
          store.open(channel.id);
          this.onOpen();
        },
      },
    }, iconName ? icon(iconName, 20) : null, h("span", { class: "channel-name" }, channel.name),
      unread?.mentions ? h("span", { class: "badge", "aria-label": `${unread.mentions} mentions` }, String(unread.mentions)) : null);
  }
}

const byPosition = (a, b) => (a.position ?? 0) - (b.position ?? 0) || (a.id < b.id ? -1 : 1);
export const archived = (c) => Boolean(c.archived ?? c.thread_metadata?.archived);
