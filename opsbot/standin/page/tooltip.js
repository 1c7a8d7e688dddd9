// One tooltip for everything with data-tip, by mouse or by keyboard focus.

import { h } from "./dom.js";

export function tooltips() {
  const tip = h("div", { class: "tooltip", role: "tooltip", popover: "manual" });
  document.body.append(tip);
  let owner = null;
  const hide = () => {
    if (owner && tip.matches(":popover-open")) tip.hidePopover();
    owner = null;
  };
  const show = (event) => {
    const node = event.target.closest?.("[data-tip]");
    if (node === owner) return;
    hide();
    if (!node || (event.type === "focusin" && !node.matches(":focus-visible"))) return;
    owner = node;
    tip.textContent = node.dataset.tip;
    tip.showPopover();
    const place = node.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, place.left + place.width / 2 - box.width / 2), window.innerWidth - box.width - 8);
    const above = place.top - box.height - 8;
    tip.style.setProperty("left", `${left}px`);
    tip.style.setProperty("top", `${above > 4 ? above : place.bottom + 8}px`);
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("pointerdown", hide);
}
