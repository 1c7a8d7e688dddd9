// The page, wired.

import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { h } from "./dom.js";
import { Banner, Header } from "./header.js";
import { Interactions } from "./interactions.js";
import { Members } from "./members.js";
import { Messages } from "./messages.js";
import { showModal } from "./modal.js";
import { Panel } from "./panel.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { Switcher } from "./switcher.js";
import { keepAgeing } from "./time.js";
import { tooltips } from "./tooltip.js";
import { View } from "./view.js";

const WIDE = 1280; // px from which the member list has room
const MIDDLE = 800; // px from which the panel has room

function start() {
  const store = new Store();
  const query = new URLSearchParams(location.search);
  const connection = new Connection(store, query.get("member"));
  store.channelId = query.get("channel");
  const view = new View(store, new Interactions(store, connection), connection);

  const app = document.getElementById("app");
  const open = { nav: false, members: window.innerWidth >= WIDE, panel: window.innerWidth >= MIDDLE };
  const set = (name, on) => {
    open[name] = on;
    app.classList.toggle(`${name}-open`, on);
    header.pressed(name, on);
  };
  const toggle = (name) => {
    const on = !open[name];
    // drawers lie over one another on a small screen: one at a time
    if (on && window.innerWidth < MIDDLE) for (const other of ["nav", "members", "panel"]) set(other, false);
    set(name, on);
  };
  const header = new Header(view, toggle);
  const sidebar = new Sidebar(view, () => set("nav", false));
  const panel = new Panel(view, () => set("panel", false));
  const messages = new Messages(view);
  const composer = new Composer(view);
  const shade = h("div", { class: "shade", on: { click: () => ["nav", "members", "panel"].forEach((n) => window.innerWidth < WIDE && (n === "nav" || window.innerWidth < MIDDLE) && set(n, false)) } });
  const guild = h("span", { class: "titlebar-name" });
  store.on("snapshot", () => {
    guild.textContent = store.guild.name;
    document.body.classList.add("ready");
  });
  store.on("modal", (d) => showModal(view, d));

  app.replaceChildren(
    h("div", { class: "titlebar" }, guild, h("span", { class: "titlebar-note" }, "local stand-in for Discord")),
    h("div", { class: "left" }, sidebar.rail, sidebar.root, new Switcher(view).root),
    h("main", { class: "main" }, header.root, new Banner(view).root, messages.root, composer.root),
    new Members(view).root, panel.root, shade);
  for (const name of ["nav", "members", "panel"]) set(name, open[name]);

  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    const crossed = (edge) => (width < edge) !== (window.innerWidth < edge);
    if (crossed(WIDE)) set("members", window.innerWidth >= WIDE);
    if (crossed(MIDDLE)) {
      set("panel", window.innerWidth >= MIDDLE);
      set("nav", false);
    }
    width = window.innerWidth;
  });
  // typing anywhere goes to the composer, as in Discord
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && open.nav) set("nav", false);
    if (event.key === "Escape" && document.activeElement === document.body) store.markRead();
    const free = document.activeElement === document.body || document.activeElement === null;
    if (free && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey && !document.querySelector("dialog[open]")) composer.text.focus();
  });
  tooltips();
  keepAgeing(document);
  connection.open();
}

start();
