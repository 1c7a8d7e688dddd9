// Embeds.

import { picture } from "./attachments.js";
import { h } from "./dom.js";
import { link, markdown } from "./markdown-dom.js";
import { fullTime, messageTime } from "./time.js";

const INLINE = { blocks: false, links: false };
const safe = (url) => (/^https?:\/\//i.test(url ?? "") ? url : null);

function icon(view, message, url) {
  const local = view.mediaUrl(message, url);
  return local ? h("img", { class: "embed-icon", src: local, alt: "", width: 24, height: 24 }) : null;
}

/** Lays inline fields out in rows of up to three, on Discord's grid of twelve columns. */
function fieldSpans(fields) {
  const spans = [];
  let row = [];
  const close = () => {
    row.forEach((_, i) => spans.push(`${1 + (12 / row.length) * i} / ${1 + (12 / row.length) * (i + 1)}`));
    row = [];
  };
  for (const field of fields) {
    if (field.inline) {
      row.push(field);
      if (row.length === 3) close();
    } else {
      close();
      spans.push("1 / 13");
    }
  }
  close();
  return spans;
}

export function embed(view, message, e) {
  const url = safe(e.url);
  const spans = fieldSpans(e.fields ?? []);
  const colour = e.color === null || e.color === undefined ? null : `#${e.color.toString(16).padStart(6, "0")}`;
  const author = e.author && h("div", { class: "embed-author" }, icon(view, message, e.author.icon_url),
    safe(e.author.url) ? link(e.author.url, e.author.name) : h("span", null, e.author.name));
  const title = e.title && h("div", { class: "embed-title" }, url ? link(url, markdown(e.title, view, INLINE)) : markdown(e.title, view, INLINE));
  const fields = spans.length ? h("div", { class: "embed-fields" }, e.fields.map((f, i) =>
    h("div", { class: "embed-field", style: { "grid-column": spans[i] } },
      h("div", { class: "embed-field-name" }, markdown(f.name, view, INLINE)),
      h("div", { class: "embed-field-value markup" }, markdown(f.value, view))))) : null;
  const footer = (e.footer || e.timestamp) && h("div", { class: "embed-footer" },
    e.footer ? icon(view, message, e.footer.icon_url) : null,
    h("span", null, e.footer?.text ?? null, e.footer && e.timestamp ? h("span", { class: "bullet" }, "•") : null,
      e.timestamp ? h("time", { datetime: e.timestamp, data: { tip: fullTime(e.timestamp) } }, messageTime(e.timestamp)) : null));
  return h("article", { class: `embed ${e.image ? "with-image" : ""}`, style: colour ? { "--bar": colour } : {} },
    h("div", { class: "embed-grid" },
      h("div", { class: "embed-body" }, author, title,
        e.description ? h("div", { class: "embed-description markup" }, markdown(e.description, view)) : null, fields),
      e.thumbnail ? picture(view.mediaUrl(message, e.thumbnail.url), e.thumbnail, { maxWidth: 80, maxHeight: 80, className: "embed-thumbnail" }) : null,
      e.image ? picture(view.mediaUrl(message, e.image.url), e.image, { maxWidth: 400, maxHeight: 300, className: "embed-image" }) : null,
      footer));
}
