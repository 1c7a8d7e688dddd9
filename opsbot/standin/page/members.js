// The member list: by highest role, then online and offline, as Discord groups it.

import { h } from "./dom.js";

export class Members {
  constructor(view) {
    this.view = view;
    this.root = h("aside", { class: "members", id: "members", "aria-label": "Members" });
    view.store.on("members snapshot connection", () => this.draw());
  }

  groups() {
    const { store } = this.view;
    const groups = new Map();
    for (const member of store.members.values()) {
      const online = member.status && member.status !== "offline";
      const role = online ? (store.memberRoles(member.user.id).find((r) => r.hoist ?? true) ?? null) : null;
      const key = online ? (role ? role.id : "online") : "offline";
      if (!groups.has(key)) groups.set(key, { name: role?.name ?? (online ? "Online" : "Offline"), order: online ? (role?.position ?? -1) : -2, members: [] });
      groups.get(key).members.push(member);
    }
    const name = (m) => store.nameOf(m.user).toLowerCase();
    for (const group of groups.values()) group.members.sort((a, b) => (name(a) < name(b) ? -1 : 1));
    return [...groups.values()].sort((a, b) => b.order - a.order);
  }

  draw() {
    const { store } = this.view;
    this.root.replaceChildren(...this.groups().map((group) =>
      h("section", null, h("h2", { class: "member-group" }, `${group.name} — ${group.members.length}`),
        h("ul", null, group.members.map((m) => {
          const offline = !m.status || m.status === "offline";
          return h("li", { class: `member ${offline ? "is-offline" : ""}`, data: { testid: `member-${m.user.id}` } }, this.view.avatarWithStatus(m),
            h("span", { class: "member-about" },
              h("span", { class: "member-name" }, this.view.authorName(m.user), m.user.bot ? this.view.appTag() : null),
              m.user.id === store.me?.id ? h("small", null, "acting as this member") : null));
        })))));
  }
}
