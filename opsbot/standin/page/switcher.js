// The card at the bottom left: who you act as. It opens a menu to be someone else, or to change that member's roles.

import { h, icon } from "./dom.js";

export class Switcher {
  constructor(view) {
    this.view = view;
    this.button = h("button", {
      type: "button", class: "me", "aria-haspopup": "dialog", "aria-expanded": "false", data: { testid: "member-switcher" },
      on: { click: () => (this.menu.hidden ? this.open() : this.close()) },
    });
    this.menu = h("div", { class: "switcher", role: "dialog", "aria-label": "Act as a member", hidden: true, data: { testid: "member-menu" } });
    this.root = h("div", { class: "user-area" }, this.menu, this.button);
    this.error = null;
    view.store.on("snapshot members connection", () => this.draw());
    this.menu.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("pointerdown", (event) => {
      if (!this.root.contains(event.target)) this.close();
    });
  }

  open() {
    this.error = null;
    this.menu.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.draw();
    (this.menu.querySelector("[aria-checked=true]") ?? this.menu.querySelector("button"))?.focus();
  }

  close() {
    if (this.menu.hidden) return;
    this.menu.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  key(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.close();
      this.button.focus();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.matches("button")) {
      event.preventDefault();
      const all = [...this.menu.querySelectorAll("button, input")];
      all[(all.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length].focus();
    }
  }

  draw() {
    const { store } = this.view;
    if (!store.me) return;
    const mine = store.members.get(store.me.id) ?? { user: store.me, roles: [], status: "online" };
    this.button.replaceChildren(this.view.avatarWithStatus(mine), h("span", { class: "me-about" },
      h("span", { class: "me-name" }, store.nameOf(store.me)), h("small", null, this.view.rank(store.me.id))), h("span", { class: "me-swap" }, icon("swap", 18)));
    this.button.setAttribute("aria-label", `Acting as ${store.nameOf(store.me)}, ${this.view.rank(store.me.id)}. Change member or roles`);
    if (!this.menu.hidden) this.drawMenu(mine);
  }

  drawMenu(mine) {
    const { store } = this.view;
    const focused = this.menu.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    const typed = this.menu.querySelector("input")?.value ?? "";
    const people = [...store.members.values()].filter((m) => !m.user.bot)
      .sort((a, b) => this.height(b) - this.height(a) || (store.nameOf(a.user) < store.nameOf(b.user) ? -1 : 1));
    const roles = [...store.roles.values()].filter((r) => r.id !== store.guild.id && !r.managed).sort((a, b) => b.position - a.position);
    const name = h("input", { type: "text", placeholder: "Name of a new member", "aria-label": "Name of a new member", maxlength: 32, autocomplete: "off", data: { testid: "new-member" } });
    name.value = typed;
    this.menu.replaceChildren(...[
      h("h2", null, "Act as"),
      h("div", { role: "radiogroup", "aria-label": "Act as" }, people.map((m) => this.person(m, m.user.id === mine.user.id))),
      h("h2", null, `Roles of ${store.nameOf(mine.user)}`),
      h("div", { role: "group", class: "role-toggles", "aria-label": `Roles of ${store.nameOf(mine.user)}` }, roles.map((r) => this.role(mine, r))),
      h("form", { class: "add-member", on: { submit: (event) => this.add(event, name) } }, name,
        h("button", { type: "submit", class: "icon-button", "aria-label": "Add the member" }, icon("plus", 18))),
      this.error ? h("p", { class: "switcher-error", role: "alert" }, this.error) : null,
    ].filter(Boolean));
    if (focused) this.menu.querySelector(`[data-testid="${CSS.escape(focused)}"]`)?.focus();
  }

  height(member) {
    return this.view.store.memberRoles(member.user.id)[0]?.position ?? -1;
  }

  person(member, current) {
    const { store } = this.view;
    const act = () => {
      this.close();
      if (!current) this.view.connection.actAs(member.user.id);
      this.button.focus();
    };
    return h("button", {
      type: "button", class: "person", role: "radio", "aria-checked": String(current), data: { testid: `act-as-${member.user.username}` }, on: { click: act },
    }, this.view.avatar(member.user, 28), h("span", { class: "person-name" }, this.view.authorName(member.user)),
      h("small", null, this.view.rank(member.user.id)), h("span", { class: "tick" }, current ? icon("check", 16) : null));
  }

  role(member, role) {
    const has = member.roles.includes(role.id);
    const roles = has ? member.roles.filter((r) => r !== role.id) : [...member.roles, role.id];
    return h("button", {
      type: "button", class: "role-toggle", role: "checkbox", "aria-checked": String(has), data: { testid: `role-${role.name}` },
      style: role.color ? { "--role": `#${role.color.toString(16).padStart(6, "0")}` } : {},
      on: { click: () => this.post(`/client/members/${member.user.id}/roles`, { roles }) },
    }, h("i"), role.name, has ? icon("check", 12) : null);
  }

  add(event, input) {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return;
    input.value = "";
    void this.post("/client/members", { name, roles: [] });
  }

  async post(path, body) {
    const answer = await this.view.connection.post(path, body);
    this.error = answer.ok ? null : (answer.body.message ?? "That did not work");
    this.draw();
  }
}
