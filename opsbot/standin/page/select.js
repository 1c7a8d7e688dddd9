// The drop-down of select menus, in messages and in modals: a listbox that is driven by mouse or keyboard.

import { h, icon } from "./dom.js";
import { emoji } from "./view.js";

/** The options of a select component of any type: [{label, value, description, emoji, default}]. */
export function optionsOf(view, component) {
  const { store } = view;
  const users = () => [...store.members.values()].map((m) => ({ label: store.nameOf(m.user), value: m.user.id, description: m.user.username }));
  const roles = () => [...store.roles.values()].filter((r) => r.id !== store.guild.id).map((r) => ({ label: `@${r.name}`, value: r.id }));
  const channels = () =>
    [...store.channels.values()]
      .filter((c) => !component.channel_types?.length || component.channel_types.includes(c.type))
      .map((c) => ({ label: `#${c.name}`, value: c.id }));
  const preset = new Set((component.default_values ?? []).map((v) => v.id));
  const make = { 3: () => component.options ?? [], 5: users, 6: roles, 7: () => [...users(), ...roles()], 8: channels }[component.type];
  return make().map((o) => ({ ...o, default: o.default || preset.has(o.value) }));
}

/**
 * `onDone(values)` is called with the chosen values: at once for a single choice, when the list closes for several.
 */
export function select(view, component, { busy = false, disabled = false, onDone, label } = {}) {
  const options = optionsOf(view, component);
  const least = component.min_values ?? 1;
  const most = component.max_values ?? 1;
  let chosen = options.filter((o) => o.default).map((o) => o.value);
  let active = 0;
  let before = "";

  const list = h("div", { class: "select-list", role: "listbox", popover: "manual", "aria-multiselectable": String(most > 1) });
  const button = h("button", {
    type: "button", class: `select ${busy ? "busy" : ""}`, role: "combobox", "aria-haspopup": "listbox", "aria-expanded": "false",
    "aria-label": label ?? component.placeholder ?? "Make a selection", disabled: disabled || component.disabled || busy,
    data: { customId: component.custom_id },
  });
  const box = h("div", { class: "select-box" }, button, list);

  function face() {
    const picked = options.filter((o) => chosen.includes(o.value));
    button.replaceChildren(
      picked.length
        ? h("span", { class: "select-value" }, picked.map((o) => (most > 1 ? h("span", { class: "chip" }, o.label) : [o.emoji ? emoji(o.emoji) : null, h("span", null, o.label)])).flat().filter(Boolean))
        : h("span", { class: "placeholder" }, component.placeholder ?? "Make a selection"),
      icon("chevron", 20),
    );
  }

  function rows() {
    list.replaceChildren(...options.map((o, i) => {
      const on = chosen.includes(o.value);
      return h("div", {
        class: `select-option ${i === active ? "active" : ""}`, role: "option", "aria-selected": String(on),
        on: { click: () => toggle(i), mousemove: () => i !== active && move(i) },
      }, o.emoji ? emoji(o.emoji) : null,
        h("span", { class: "select-label" }, h("span", null, o.label), o.description ? h("small", null, o.description) : null),
        most > 1 ? h("span", { class: `checkbox ${on ? "on" : ""}` }, on ? icon("check", 14) : null) : on ? icon("check", 18) : null);
    }));
    if (!options.length) list.replaceChildren(h("div", { class: "select-empty" }, "Nothing to choose from"));
  }

  function move(to) {
    active = (to + options.length) % options.length;
    [...list.children].forEach((row, i) => row.classList.toggle("active", i === active));
    list.children[active]?.scrollIntoView({ block: "nearest" });
  }

  function toggle(i) {
    const { value } = options[i];
    if (most === 1) {
      chosen = chosen.includes(value) && least === 0 ? [] : [value];
      close();
      return;
    }
    if (chosen.includes(value)) chosen = chosen.filter((v) => v !== value);
    else if (chosen.length < most) chosen = [...chosen, value];
    active = i;
    rows();
    face();
  }

  function open() {
    before = chosen.join();
    active = Math.max(0, options.findIndex((o) => chosen.includes(o.value)));
    rows();
    const place = button.getBoundingClientRect();
    list.showPopover();
    const height = Math.min(list.scrollHeight, 320);
    const below = window.innerHeight - place.bottom > height + 12;
    list.style.setProperty("width", `${place.width}px`);
    list.style.setProperty("left", `${place.left}px`);
    list.style.setProperty("top", below ? `${place.bottom + 4}px` : `${Math.max(8, place.top - height - 6)}px`);
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
  }

  function close(cancel = false) {
    if (button.getAttribute("aria-expanded") !== "true") return;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (list.isConnected) list.hidePopover();
    if (cancel) chosen = before ? before.split(",") : [];
    face();
    if (!cancel && (most === 1 || chosen.join() !== before) && chosen.length >= least) onDone?.(chosen);
  }

  function outside(event) {
    if (!box.contains(event.target)) close(most === 1);
  }

  button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? close(most === 1) : open()));
  button.addEventListener("keydown", (event) => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) open();
      else move(active + (event.key === "ArrowDown" ? 1 : -1));
    } else if (isOpen && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      if (options.length) toggle(active);
    } else if (isOpen && (event.key === "Escape" || event.key === "Tab")) {
      if (event.key === "Escape") event.preventDefault();
      event.stopPropagation();
      close(most === 1 || event.key === "Escape");
    }
  });
  face();
  box.values = () => chosen;
  return box;
}
