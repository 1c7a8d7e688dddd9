// Files of a message: images inline, text with a preview, anything else as a card.

import { h, icon } from "./dom.js";
import { size } from "./view.js";

const PREVIEW_BYTES = 64 * 1024;
const FOLDED_LINES = 6;
const TEXT = /\.(txt|log|md|json|toml|ya?ml|ini|cfg|conf|diff|patch|py|js|ts|sh|csv|html|css|xml|sql)$/i;
const texts = new Map(); // address -> promise of its text
const unfolded = new Set(); // addresses the person has expanded; survives a redraw

const isImage = (a) => /^image\/(png|jpe?g|gif|webp)/.test(a.content_type ?? "") || /\.(png|jpe?g|gif|webp)$/i.test(a.filename);
const isText = (a) => /^(text\/|application\/(json|toml|x-ndjson))/.test(a.content_type ?? "") || TEXT.test(a.filename);

/** An image that keeps its room while it loads, so the list does not jump. `meta`: width, height, alt text. */
export function picture(url, meta = {}, { maxWidth = 550, maxHeight = 350, className = "picture" } = {}) {
  if (!url) return h("div", { class: `${className} missing` }, "Image is not on this server");
  const scale = meta.width && meta.height ? Math.min(1, maxWidth / meta.width, maxHeight / meta.height) : null;
  const image = h("img", {
    src: url,
    alt: meta.description ?? "",
    loading: "eager",
    width: scale ? Math.round(meta.width * scale) : null,
    height: scale ? Math.round(meta.height * scale) : null,
  });
  const open = h("a", { class: className, href: url, target: "_blank", rel: "noopener", "aria-label": meta.description || "Open image" }, image);
  image.addEventListener("error", () => open.replaceWith(h("div", { class: `${className} missing` }, "Image could not be loaded")));
  return meta.spoiler ? spoilerBox(open) : open;
}

export function spoilerBox(child) {
  const cover = h("button", { type: "button", class: "spoiler-cover" }, "Spoiler");
  const box = h("div", { class: "spoiler-box" }, child, cover);
  cover.addEventListener("click", () => box.classList.add("revealed"));
  return box;
}

function loadText(url) {
  if (!texts.has(url)) {
    texts.set(url, fetch(url).then(async (response) => {
      if (!response.ok) throw new Error(`${response.status}`);
      return (await response.text()).slice(0, PREVIEW_BYTES);
    }));
  }
  return texts.get(url);
}

function downloadLink(url, name) {
  return h("a", { class: "icon-button", href: url, download: name, "aria-label": `Download ${name}`, data: { tip: "Download" } }, icon("download", 20));
}

function textFile(attachment, url) {
  const body = h("code", null, "Loading…");
  const block = h("pre", { class: "text-preview", tabindex: "0", "aria-label": `Preview of ${attachment.filename}` }, body);
  const chevron = icon("chevron", 18);
  const fold = h("button", { type: "button", class: "expand" }, chevron, h("span", null));
  const card = h("div", { class: "text-file", data: { attachment: attachment.id } }, block,
    h("div", { class: "text-file-bar" }, fold, h("span", { class: "file-name" }, attachment.filename),
      h("span", { class: "file-size" }, size(attachment.size)), downloadLink(url, attachment.filename)));
  loadText(url).then((text) => {
    const lines = text.replace(/\n$/, "").split("\n");
    const show = () => {
      const all = unfolded.has(url);
      body.textContent = all || lines.length <= FOLDED_LINES ? lines.join("\n") : lines.slice(0, FOLDED_LINES).join("\n") + "\n…";
      card.classList.toggle("open", all);
      fold.lastChild.textContent = all ? "Collapse" : `Expand`;
      fold.setAttribute("aria-expanded", String(all));
      fold.hidden = lines.length <= FOLDED_LINES;
    };
    fold.addEventListener("click", () => {
      if (unfolded.has(url)) unfolded.delete(url);
      else unfolded.add(url);
      show();
    });
    show();
  }).catch(() => {
    texts.delete(url);
    body.textContent = "The file could not be loaded";
    fold.hidden = true;
  });
  return card;
}

export function fileCard(attachment, url) {
  return h("div", { class: "file-card", data: { attachment: attachment.id } },
    h("span", { class: "file-icon" }, icon("file", 30)),
    h("span", { class: "file-about" },
      url ? h("a", { class: "file-name link", href: url, download: attachment.filename }, attachment.filename) : h("span", { class: "file-name" }, attachment.filename),
      h("span", { class: "file-size" }, size(attachment.size ?? 0))),
    url ? downloadLink(url, attachment.filename) : null);
}

export function attachment(view, item) {
  const url = view.localUrl(item.url);
  if (url && isImage(item)) {
    return picture(url, { ...item, spoiler: item.filename.startsWith("SPOILER_") });
  }
  if (url && isText(item)) return textFile(item, url);
  return fileCard(item, url);
}

/** The attachments that no embed shows already. */
export function attachments(view, message) {
  const shown = new Set();
  for (const embed of message.embeds ?? []) {
    for (const media of [embed.image, embed.thumbnail, embed.author && { url: embed.author.icon_url }, embed.footer && { url: embed.footer.icon_url }]) {
      const found = media?.url && view.attachment(message, media.url);
      if (found) shown.add(found.id);
    }
  }
  const rest = (message.attachments ?? []).filter((a) => !shown.has(a.id));
  return rest.length ? h("div", { class: "attachments" }, rest.map((a) => attachment(view, a))) : null;
}
