// What the parts of the page share: the store, the acts, and small pieces that look the same everywhere.

import { h, icon, svg } from "./dom.js";
import { FLAG } from "./store.js";

const COLOURS = ["#5865f2", "#3ba55d", "#d28a1e", "#d83c3e", "#c4479d", "#2d8fb8", "#7a5cc9", "#5d6b7e"];

export class View {
  constructor(store, acts, connection) {
    this.store = store;
    this.acts = acts;
    this.connection = connection;
  }

  // names, for markdown()
  userName(id) {
    return this.store.userName(id);
  }

  role(id) {
    return this.store.roles.get(id);
  }

  channel(id) {
    return this.store.channels.get(id);
  }

  command(id) {
    return this.store.commands.find((c) => c.id === id);
  }

  openChannel(id) {
    this.store.open(id);
  }

  /** A user's picture: their own if it is on this server, else a coloured disc with their initial. */
  avatar(user, size = 40) {
    if (typeof user.avatar === "string" && user.avatar.startsWith("/")) {
      return h("img", { class: "avatar", src: user.avatar, alt: "", width: size, height: size });
    }
    if (user.bot) return h("img", { class: "avatar", src: "/static/bot.svg", alt: "", width: size, height: size });
    const colour = COLOURS[Number(BigInt(user.id) % BigInt(COLOURS.length))];
    const letter = [...(this.store.nameOf(user) || "?")][0].toUpperCase();
    const text = svg("text", { x: 20, y: 26.5, "text-anchor": "middle", "font-size": 18, "font-weight": 600, fill: "#fff" });
    text.textContent = letter;
    return svg("svg", { class: "avatar", viewBox: "0 0 40 40", width: size, height: size, "aria-hidden": "true" },
      svg("circle", { cx: 20, cy: 20, r: 20, fill: colour }), text);
  }

  avatarWithStatus(member, size = 32) {
    const status = member.status === "offline" || !member.status ? "offline" : member.status;
    return h("span", { class: "avatar-box" }, this.avatar(member.user, size), h("span", { class: `status ${status}`, title: status }));
  }

  appTag() {
    return h("span", { class: "app-tag" }, "APP");
  }

  authorName(user) {
    const colour = this.store.colour(user.id);
    return h("span", { class: "author", style: colour ? { color: colour } : {} }, this.store.nameOf(user));
  }

  /** The rank a person acts with, in words: the name of their highest role. */
  rank(userId) {
    return this.store.memberRoles(userId)[0]?.name ?? "no role";
  }

  /** The address of an attachment as this page may load it; null when it lies elsewhere. */
  localUrl(url) {
    const here = new URL(location.href);
    let target;
    try {
      target = new URL(url, here);
    } catch {
      return null;
    }
    if (target.origin === here.origin) return target.href;
    const loopback = ["127.0.0.1", "localhost", "[::1]"];
    const same = target.port === here.port && loopback.includes(target.hostname) && loopback.includes(here.hostname);
    return same && target.protocol === here.protocol ? here.origin + target.pathname + target.search : null;
  }

  /** Resolves `attachment://name` among a message's attachments. Returns an address to load, or null. */
  mediaUrl(message, url) {
    if (!url) return null;
    if (!url.startsWith("attachment://")) return this.localUrl(url);
    const found = this.attachment(message, url);
    return found ? this.localUrl(found.url) : null;
  }

  attachment(message, url) {
    const name = url.startsWith("attachment://") ? url.slice("attachment://".length) : null;
    return (message.attachments ?? []).find((a) => (name !== null ? a.filename === name : a.url === url)) ?? null;
  }
}

export function isPrivate(message) {
  return Boolean(message.flags & FLAG.EPHEMERAL);
}

export function dots() {
  return h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
}

export function iconButton(name, label, onClick, props = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, data: { tip: label }, on: { click: onClick }, ...props }, icon(name, 20));
}

/** An emoji of a component or a name. Custom ones have no picture here: their name stands for them. */
export function emoji(value) {
  return h("span", { class: "emoji", "aria-hidden": "true" }, value.id ? `:${value.name}:` : value.name);
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(2).replace(/\.?0+$/, "")} KB`;
  return `${(bytes / 1024 / 1024).toFixed(2).replace(/\.?0+$/, "")} MB`;
}
