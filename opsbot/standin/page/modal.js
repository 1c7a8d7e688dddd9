// Modals: the bot's forms.

import { h, icon } from "./dom.js";
import { markdown } from "./markdown-dom.js";
import { select } from "./select.js";
import { dots } from "./view.js";

let shown = null;
let ids = 0;

/** Shows a modal for `{nonce, id, modal: {custom_id, title, components}}`; the one before it goes. */
export function showModal(view, { modal }) {
  shown?.close();
  const inputs = [];
  const fields = (modal.components ?? []).map((c) => field(view, c, inputs));
  const error = h("div", { class: "modal-error", role: "alert", hidden: true });
  const submit = h("button", { type: "submit", class: "button primary" }, h("span", { class: "button-face" }, "Submit"));
  const cancel = h("button", { type: "button", class: "button secondary", on: { click: () => dialog.close() } }, "Cancel");
  const form = h("form", { class: "modal-form", novalidate: true },
    h("header", { class: "modal-head" }, view.avatar(view.store.application.bot ?? { id: "0", bot: true }, 24), h("h2", { id: "modal-title" }, modal.title),
      h("button", { type: "button", class: "icon-button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close", 20))),
    h("p", { class: "modal-note" }, icon("warning", 16), h("span", null, "This form will be submitted to ", h("strong", null, view.store.application.name), ". Do not share passwords or other sensitive information.")),
    h("div", { class: "modal-fields" }, fields), error, h("footer", { class: "modal-foot" }, cancel, submit));
  const dialog = h("dialog", { class: "modal", "aria-labelledby": "modal-title", data: { testid: "modal" } }, form);
  shown = dialog;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = inputs.filter((input) => !input.check());
    if (wrong.length) {
      wrong[0].focus();
      return;
    }
    submit.disabled = true;
    submit.classList.add("busy");
    submit.append(dots());
    error.hidden = true;
    const data = { custom_id: modal.custom_id, components: (modal.components ?? []).map((c) => value(c, inputs)).filter(Boolean) };
    const result = await view.acts.modal(data);
    if (result.ok) {
      dialog.close();
      return;
    }
    submit.disabled = false;
    submit.classList.remove("busy");
    submit.lastChild.remove();
    error.textContent = "Something went wrong. Try again.";
    error.hidden = false;
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (shown === dialog) shown = null;
  });
  document.body.append(dialog);
  dialog.showModal();
  inputs[0]?.focus();
}

/** One top-level component: a row with a text input, a label with any input, or text. */
function field(view, c, inputs) {
  if (c.type === 10) return h("div", { class: "markup modal-text" }, markdown(c.content, view));
  const inner = c.type === 18 ? c.component : c.components?.[0];
  if (!inner) return null;
  ids += 1;
  const id = `modal-field-${ids}`;
  const required = inner.required ?? inner.type !== 23;
  const label = c.label ?? inner.label ?? "";
  const name = h(inner.type === 4 ? "label" : "div", { class: "modal-label", id: `${id}-label`, ...(inner.type === 4 ? { for: id } : {}) }, label,
    required ? h("span", { class: "required", "aria-hidden": "true" }, " *") : null);
  const description = c.description ? h("div", { class: "modal-description", id: `${id}-about` }, c.description) : null;
  const problem = h("div", { class: "modal-problem", role: "alert", hidden: true });
  const about = { id, label, required, problem, describedBy: description ? `${id}-about` : null };
  const make = { 4: textInput, 3: menuInput, 5: menuInput, 6: menuInput, 7: menuInput, 8: menuInput, 21: optionGroup, 22: optionGroup, 23: checkbox }[inner.type];
  if (!make) return h("div", { class: "modal-field" }, name, h("div", { class: "unknown" }, `Input of type ${inner.type} cannot be shown`));
  const input = make(view, inner, about);
  inputs.push({ component: inner, ...input });
  return h("div", { class: "modal-field" }, name, description, input.node, problem);
}

function verdict(about, problem) {
  about.problem.hidden = !problem;
  about.problem.textContent = problem ?? "";
  return !problem;
}

function textInput(view, c, about) {
  const long = c.style === 2;
  const input = h(long ? "textarea" : "input", {
    class: "modal-input", id: about.id, placeholder: c.placeholder, maxlength: c.max_length ?? 4000, rows: long ? "5" : null, type: long ? null : "text",
    autocomplete: "off", "aria-required": String(about.required), "aria-describedby": about.describedBy, data: { testid: `input-${c.custom_id}` },
  });
  input.value = c.value ?? "";
  const count = h("span", { class: "input-count" });
  const drawCount = () => {
    count.textContent = c.max_length ? `${[...input.value].length}/${c.max_length}` : "";
  };
  input.addEventListener("input", drawCount);
  drawCount();
  if (!long) {
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        input.form.requestSubmit();
      }
    });
  }
  return {
    node: h("div", { class: "input-box" }, input, long && c.max_length ? count : null),
    focus: () => input.focus(),
    data: () => ({ value: input.value }),
    check: () => {
      const { length } = [...input.value];
      const problem = about.required && length === 0 ? "This field is required"
        : length > 0 && length < (c.min_length ?? 0) ? `Must be at least ${c.min_length} characters` : null;
      input.setAttribute("aria-invalid", String(Boolean(problem)));
      return verdict(about, problem);
    },
  };
}

function menuInput(view, c, about) {
  const box = select(view, c, { label: about.label });
  return {
    node: box,
    focus: () => box.querySelector("button").focus(),
    data: () => ({ values: box.values() }),
    check: () => verdict(about, about.required && box.values().length < Math.max(1, c.min_values ?? 1) ? "This field is required" : null),
  };
}

/** Radio group (21) and checkbox group (22). */
function optionGroup(view, c, about) {
  const radio = c.type === 21;
  const boxes = (c.options ?? []).map((o) => {
    const input = h("input", { type: radio ? "radio" : "checkbox", name: about.id, value: o.value });
    input.checked = Boolean(o.default);
    return { input, node: h("label", { class: "modal-choice" }, input, h("span", null, o.label, o.description ? h("small", null, o.description) : null)) };
  });
  const chosen = () => boxes.filter((b) => b.input.checked).map((b) => b.input.value);
  return {
    node: h("div", { role: radio ? "radiogroup" : "group", "aria-labelledby": `${about.id}-label` }, boxes.map((b) => b.node)),
    focus: () => boxes[0]?.input.focus(),
    data: () => (radio ? { value: chosen()[0] ?? null } : { values: chosen() }),
    check: () => {
      const count = chosen().length;
      const problem = about.required && count === 0 ? "This field is required" : count > (c.max_values ?? boxes.length) ? `Choose at most ${c.max_values}` : null;
      return verdict(about, problem);
    },
  };
}

function checkbox(view, c, about) {
  const input = h("input", { type: "checkbox", "aria-labelledby": `${about.id}-label` });
  input.checked = Boolean(c.default);
  return { node: input, focus: () => input.focus(), data: () => ({ value: input.checked }), check: () => true };
}

/** A submitted component, in the shape it was sent in. */
function value(c, inputs) {
  if (c.type === 10) return { type: 10, id: c.id };
  const inner = c.type === 18 ? c.component : c.components?.[0];
  const input = inputs.find((i) => i.component === inner);
  if (!input) return null;
  const sent = { type: inner.type, id: inner.id, custom_id: inner.custom_id, ...input.data() };
  return c.type === 18 ? { type: 18, id: c.id, component: sent } : { type: 1, id: c.id, components: [sent] };
}
