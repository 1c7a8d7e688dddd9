// The tree of markdown.js as DOM nodes.

import { codeBlock } from "./code.js";
import { h } from "./dom.js";
import { parse } from "./markdown.js";
import { timestamp } from "./time.js";

/** An outside link; it opens beside the page and learns nothing about it. */
export function link(url, ...children) {
  return h("a", { class: "link", href: url, target: "_blank", rel: "noopener noreferrer nofollow", title: url }, ...children);
}

function spoiler(children) {
  const node = h("span", { class: "spoiler", role: "button", tabindex: "0", "aria-expanded": "false", "aria-label": "Spoiler" }, h("span", { class: "spoiler-text" }, children));
  const reveal = () => {
    node.classList.add("revealed");
    node.setAttribute("aria-expanded", "true");
    node.removeAttribute("role");
    node.removeAttribute("aria-label");
  };
  node.addEventListener("click", reveal);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") reveal();
  });
  return node;
}

function pill(text, props = {}) {
  return h("span", { ...props, class: `mention ${props.class ?? ""}` }, text);
}

const MAKE = {
  text: (n) => n.text,
  strong: (n, view) => h("strong", null, nodes(n.children, view)),
  em: (n, view) => h("em", null, nodes(n.children, view)),
  under: (n, view) => h("u", null, nodes(n.children, view)),
  strike: (n, view) => h("s", null, nodes(n.children, view)),
  spoiler: (n, view) => spoiler(nodes(n.children, view)),
  code: (n) => h("code", { class: "inline-code" }, n.text),
  fence: (n) => codeBlock(n.text, n.language),
  quote: (n, view) => h("div", { class: "quote" }, h("blockquote", null, nodes(n.children, view))),
  heading: (n, view) => h(`h${n.level + 2}`, { class: `md-h${n.level}` }, nodes(n.children, view)),
  subtext: (n, view) => h("small", { class: "subtext" }, nodes(n.children, view)),
  list: (n, view) =>
    h(n.ordered ? "ol" : "ul", { start: n.ordered && n.start !== 1 ? n.start : null, class: "md-list" },
      n.items.map((children) => h("li", null, nodes(children, view)))),
  link: (n, view) => link(n.url, nodes(n.children, view)),
  timestamp: (n) => timestamp(n.seconds, n.style) ?? n.raw,
  user: (n, view) => {
    const name = view.userName(n.id);
    return name === null ? n.raw : pill(`@${name}`, { data: { user: n.id } });
  },
  role: (n, view) => {
    const role = view.role(n.id);
    if (!role) return n.raw;
    if (!role.color) return pill(`@${role.name}`);
    return pill(`@${role.name}`, { class: "role", style: { "--role": `#${role.color.toString(16).padStart(6, "0")}` } });
  },
  channel: (n, view) => {
    const channel = view.channel(n.id);
    if (!channel) return n.raw;
    const open = () => view.openChannel(n.id);
    return h("span", {
      class: "mention link-like", role: "link", tabindex: "0",
      on: { click: open, keydown: (event) => event.key === "Enter" && open() },
    }, `#${channel.name}`);
  },
  command: (n, view) => (view.command(n.id) ? pill(`/${n.name}`) : n.raw),
  everyone: (n) => pill(n.text),
};

function nodes(tree, view) {
  return tree.map((n) => MAKE[n.kind](n, view));
}

/**
 * Markdown as nodes. `view` resolves names: userName(id), role(id), channel(id), command(id), openChannel(id); what
 * does not resolve stays as written. `options` as for parse().
 */
export function markdown(source, view, options) {
  return nodes(parse(source, options), view);
}
