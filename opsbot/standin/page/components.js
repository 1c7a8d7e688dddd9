// Message components: rows of buttons and menus, and the layout components of "V2" messages.

import { attachment, fileCard, picture, spoilerBox } from "./attachments.js";
import { h, icon } from "./dom.js";
import { markdown } from "./markdown-dom.js";
import { select } from "./select.js";
import { dots, emoji } from "./view.js";

const STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link", 6: "premium" };
const safe = (url) => (/^https?:\/\//i.test(url ?? "") ? url : null);

function button(view, message, c) {
  const waiting = view.store.busy.get(message.id);
  const busy = waiting !== undefined && waiting.customId === c.custom_id && c.custom_id !== undefined;
  const face = [c.emoji ? emoji(c.emoji) : null, c.label ? h("span", { class: "button-label" }, c.label) : null];
  const label = c.label || c.emoji?.name || "Button";
  if (c.style === 5) {
    const url = safe(c.url);
    return h("a", {
      class: `button link ${c.disabled ? "disabled" : ""}`, href: c.disabled ? null : url, target: "_blank", rel: "noopener noreferrer",
      role: "button", "aria-label": label, "aria-disabled": c.disabled ? "true" : null,
    }, face, icon("external", 16));
  }
  return h("button", {
    type: "button", class: `button ${STYLES[c.style] ?? "secondary"} ${busy ? "busy" : ""}`, disabled: c.disabled || waiting !== undefined,
    "aria-label": label, "aria-busy": busy ? "true" : null, data: { customId: c.custom_id },
    on: { click: () => view.acts.component(message, c) },
  }, h("span", { class: "button-face" }, face), busy ? dots() : null);
}

function menu(view, message, c) {
  const waiting = view.store.busy.get(message.id);
  return select(view, c, {
    busy: waiting?.customId === c.custom_id,
    disabled: waiting !== undefined,
    onDone: (values) => view.acts.component(message, c, values),
  });
}

function section(view, message, c) {
  return h("div", { class: "v2-section" },
    h("div", { class: "v2-section-text" }, (c.components ?? []).map((x) => component(view, message, x))),
    c.accessory ? h("div", { class: "v2-accessory" }, component(view, message, c.accessory)) : null);
}

function gallery(view, message, c) {
  const items = c.items ?? [];
  const one = items.length === 1;
  return h("div", { class: `v2-gallery count-${Math.min(items.length, 5)}` }, items.map((item) => {
    const about = { ...view.attachment(message, item.media.url), ...item.media, description: item.description, spoiler: item.spoiler };
    return picture(view.mediaUrl(message, item.media.url), about, one ? {} : { maxWidth: 1200, maxHeight: 1200 });
  }));
}

function container(view, message, c) {
  const colour = c.accent_color === null || c.accent_color === undefined ? null : `#${c.accent_color.toString(16).padStart(6, "0")}`;
  const box = h("div", { class: `v2-container ${colour ? "accent" : ""}`, style: colour ? { "--bar": colour } : {} },
    (c.components ?? []).map((x) => component(view, message, x)));
  return c.spoiler ? spoilerBox(box) : box;
}

function file(view, message, c) {
  const found = view.attachment(message, c.file.url);
  const name = found?.filename ?? c.file.url.split("/").at(-1).split("?")[0];
  const card = found ? attachment(view, found) : fileCard({ filename: name, size: c.size ?? 0, id: "" }, view.mediaUrl(message, c.file.url));
  return c.spoiler ? spoilerBox(card) : card;
}

const MAKE = {
  1: (view, message, c) => h("div", { class: "action-row" }, (c.components ?? []).map((x) => component(view, message, x))),
  2: button,
  3: menu,
  5: menu,
  6: menu,
  7: menu,
  8: menu,
  9: section,
  10: (view, message, c) => h("div", { class: "v2-text markup" }, markdown(c.content, view)),
  11: (view, message, c) => picture(view.mediaUrl(message, c.media.url), { ...c.media, description: c.description, spoiler: c.spoiler }, { maxWidth: 85, maxHeight: 85, className: "v2-thumbnail" }),
  12: gallery,
  13: file,
  14: (view, message, c) => h("div", { class: `v2-separator ${c.spacing === 2 ? "large" : ""} ${c.divider === false ? "" : "line"}`, role: c.divider === false ? null : "separator" }),
  17: container,
};

export function component(view, message, c) {
  const make = MAKE[c.type];
  return make ? make(view, message, c) : h("div", { class: "unknown" }, `Component of type ${c.type} cannot be shown`);
}

/** The components of a message, with the line that says when a click failed. */
export function components(view, message) {
  const list = message.components ?? [];
  const failed = view.store.failed.get(message.id);
  if (!list.length && !failed) return null;
  return h("div", { class: "components" }, list.map((c) => component(view, message, c)),
    failed ? h("div", { class: "component-error", role: "alert" }, icon("warning", 16), failed) : null);
}
