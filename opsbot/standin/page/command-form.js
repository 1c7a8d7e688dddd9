// A slash command being filled in: one field an option, choices from the command or from the bot as you type.

import { check, data, localChoices, TYPE } from "./commands.js";
import { h } from "./dom.js";
import { Picker } from "./picker.js";

const DEBOUNCE = 120;
const ANSWER_WITHIN = 4000;
const KIND = { 3: "text", 4: "whole number", 5: "true or false", 6: "user", 7: "channel", 8: "role", 9: "user or role", 10: "number" };

export class CommandForm {
  /** `onEnd(text)` is called once, when the form is sent or given up; `text` goes back to the composer. */
  constructor(view, entry, onEnd) {
    Object.assign(this, { view, entry, onEnd, fields: [], asked: null, timer: null, ended: false });
    this.picker = new Picker((i) => this.take(i));
    this.more = h("button", { type: "button", class: "more-options", on: { click: () => this.offerOptions() } });
    this.row = h("div", { class: "command-fields" }, h("span", { class: "command-token" }, `/${entry.name}`), this.more);
    this.root = h("div", { class: "command-form", role: "form", "aria-label": `/${entry.name}: ${entry.description}` },
      view.avatar(view.store.application.bot ?? { id: "0", bot: true, username: view.store.application.name }, 24), this.row);
    this.off = view.store.on("autocomplete", (answer) => this.answered(answer));
    for (const option of entry.options) if (option.required) this.add(option);
    this.drawMore();
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("focusin", (event) => this.focused(event));
    this.root.tabIndex = -1;
  }

  focus() {
    (this.fields.find((f) => !f.text) ?? this.fields.at(-1))?.input.focus();
    if (!this.fields.length) {
      this.root.focus();
      this.offerOptions();
    }
  }

  add(option) {
    const input = h("input", {
      class: "option-input", type: "text", autocomplete: "off", spellcheck: "false", role: "combobox", "aria-autocomplete": "list",
      "aria-label": `${option.name}: ${option.description}`, "aria-expanded": "false", "aria-required": option.required ? "true" : null,
      data: { testid: `option-${option.name}` },
    });
    const sizer = h("span", { class: "option-sizer", "aria-hidden": "true" });
    const node = h("label", { class: "option" }, h("span", { class: "option-name" }, option.name), h("span", { class: "option-box" }, sizer, input));
    const field = { option, input, node, sizer, text: "", value: undefined, choices: [] };
    input.addEventListener("input", () => this.typed(field));
    node.addEventListener("mousedown", (event) => {
      if (event.target === input) return;
      event.preventDefault();
      input.focus();
    });
    this.fields.push(field);
    this.row.insertBefore(node, this.more);
    this.drawMore();
    return field;
  }

  get left() {
    return this.entry.options.filter((o) => !this.fields.some((f) => f.option === o));
  }

  drawMore() {
    const count = this.left.length;
    this.more.hidden = count === 0;
    this.more.textContent = `+${count} more`;
    this.more.setAttribute("aria-label", `${count} more options`);
  }

  get current() {
    return this.fields.find((f) => f.input === document.activeElement) ?? null;
  }

  focused(event) {
    const field = this.fields.find((f) => f.input === event.target);
    if (field) this.offer(field);
  }

  typed(field) {
    field.text = field.input.value;
    field.value = undefined;
    field.sizer.textContent = field.text;
    this.complain(field, null);
    // a name typed in full is the choice of that name
    const named = this.suggestions(field)?.find((c) => c.name.toLowerCase() === field.text.trim().toLowerCase());
    if (named) field.value = named.value;
    this.offer(field);
  }

  complain(field, error) {
    field.error = error;
    field.node.classList.toggle("invalid", Boolean(error));
    field.input.setAttribute("aria-invalid", String(Boolean(error)));
  }

  /** All local choices of an option; null when there is no closed list. */
  suggestions(field) {
    return localChoices(field.option, this.view.store);
  }

  head(field) {
    const { option } = field;
    return [
      h("div", { class: "picker-option" }, h("strong", null, option.name), h("span", null, option.description), h("small", null, KIND[option.type] ?? "")),
      field.error ? h("div", { class: "picker-error", role: "alert" }, field.error) : null,
    ].filter(Boolean);
  }

  /** Shows what may be chosen for a field; asks the bot where the option is completed by it. */
  offer(field) {
    clearTimeout(this.timer);
    this.asked = null;
    if (field.option.autocomplete) {
      // until the answer comes, what is still known to fit: Enter must never take a choice for an older text
      const query = field.value === undefined ? field.text.trim().toLowerCase() : "";
      field.choices = field.choices.filter((c) => c.name.toLowerCase().includes(query));
      this.show(field, field.choices, "Loading options…");
      this.timer = setTimeout(() => this.ask(field), field.asked ? DEBOUNCE : 0);
      return;
    }
    const all = this.suggestions(field);
    if (all === null) {
      this.show(field, [], null);
      return;
    }
    const query = field.value === undefined ? field.text.trim().toLowerCase() : "";
    const begins = (c) => (c.name.toLowerCase().replace(/^[@#]/, "").startsWith(query) ? 0 : 1);
    const found = all.filter((c) => c.name.toLowerCase().includes(query)).sort((a, b) => begins(a) - begins(b)).slice(0, 25);
    this.show(field, found, "No options match your search");
  }

  ask(field) {
    field.asked = true;
    const options = this.fields
      .map((f) => ({ name: f.option.name, type: f.option.type, ...(f === field ? { value: f.text, focused: true } : check(f.option, f)) }))
      .filter((o) => "value" in o);
    const nonce = this.view.acts.autocomplete(data(this.entry, options));
    this.asked = { nonce, field };
    setTimeout(() => {
      if (this.asked?.nonce === nonce) this.answered({ nonce, choices: null });
    }, ANSWER_WITHIN);
  }

  answered({ nonce, choices }) {
    if (this.asked?.nonce !== nonce) return; // an answer to what was typed before
    const { field } = this.asked;
    this.asked = null;
    // what was chosen with the arrows before the answer came stays chosen, wherever it stands now
    const chosen = this.shown?.field === field ? this.shown.choices[this.picker.active]?.value : undefined;
    field.choices = choices ?? [];
    const active = Math.max(0, field.choices.findIndex((c) => c.value === chosen));
    if (this.current === field) this.show(field, field.choices, choices === null ? "Loading options failed" : "No options match your search", active);
  }

  show(field, choices, empty, active = 0) {
    this.shown = { field, choices, pick: (c) => this.choose(field, c) };
    const items = choices.map((c) => h("span", { class: "choice" }, h("span", null, c.name), c.hint ? h("small", null, c.hint) : null));
    this.picker.show({ head: this.head(field), items, empty, owner: field.input, active });
    for (const f of this.fields) f.input.setAttribute("aria-expanded", String(f === field && items.length > 0));
  }

  /** The list of optional options that can still be added; none is chosen yet, so Enter still sends the command. */
  offerOptions() {
    const left = this.left;
    if (!left.length) return;
    this.shown = { field: null, choices: left, pick: (option) => this.add(option).input.focus() };
    const items = left.map((o) => h("span", { class: "choice two" }, h("strong", null, o.name), h("small", null, o.description)));
    this.picker.show({ head: h("div", { class: "picker-title" }, "Options"), items, owner: this.more, active: -1 });
    this.more.focus();
  }

  take(i) {
    this.shown.pick(this.shown.choices[i]);
  }

  choose(field, choice) {
    field.text = String(choice.name);
    field.value = choice.value;
    field.input.value = field.text;
    field.sizer.textContent = field.text;
    this.complain(field, null);
    this.asked = null;
    clearTimeout(this.timer);
    const next = this.fields.find((f) => !f.text);
    if (next) next.input.focus();
    else {
      field.input.focus();
      this.shown = null;
      this.picker.hide();
    }
  }

  key(event) {
    if (event.isComposing || this.picker.key(event)) return;
    const field = this.current;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.end("");
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.enter(field);
    } else if (event.key === "Tab" && !event.shiftKey) this.tab(event, field);
    else if (event.key === "Backspace" && (field === null || field.text === "")) {
      event.preventDefault();
      this.back(field);
    }
  }

  enter(field) {
    const untouched = field !== null && field.text === "" && !field.option.required;
    const settled = field !== null && (field.value !== undefined || (field.option.type === TYPE.STRING && field.option.autocomplete && this.fits(field)));
    if (this.picker.open && this.picker.active >= 0 && this.shown && !settled && !untouched && (field !== null || document.activeElement === this.more)) this.take(this.picker.active);
    else this.submit();
  }

  /** Is the text itself one of the values offered? Then Enter sends instead of choosing. */
  fits(field) {
    return field.choices.some((c) => String(c.value) === field.text || c.name === field.text);
  }

  tab(event, field) {
    if (field && this.picker.open && field.value === undefined && (field.text || field.option.required)) {
      event.preventDefault();
      this.take(this.picker.active);
      return;
    }
    const next = field && this.fields[this.fields.indexOf(field) + 1];
    if (next || (!field && document.activeElement !== this.more)) return;
    if (field && this.left.length) {
      event.preventDefault();
      this.offerOptions();
    } else if (!field && this.picker.open) {
      event.preventDefault();
      this.take(Math.max(0, this.picker.active));
    }
  }

  back(field) {
    if (field === null || field.option.required) {
      if (this.fields.some((f) => f.text) && field !== null && this.fields[0] !== field) {
        this.fields[this.fields.indexOf(field) - 1].input.focus();
      } else this.end(`/${this.entry.name}`);
      return;
    }
    field.node.remove();
    this.fields = this.fields.filter((f) => f !== field);
    this.drawMore();
    if (this.fields.length) this.fields.at(-1).input.focus();
    else {
      this.picker.hide();
      this.root.focus();
    }
  }

  submit() {
    const options = [];
    let wrong = null;
    for (const field of this.fields) {
      const result = check(field.option, field);
      this.complain(field, result.error ?? null);
      if (result.error) wrong ??= field;
      else if ("value" in result) options.push({ name: field.option.name, type: field.option.type, value: result.value });
    }
    if (wrong) {
      wrong.input.focus();
      this.offer(wrong);
      return;
    }
    this.view.acts.command(data(this.entry, options), this.entry.name);
    this.end("");
  }

  end(text) {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    this.off();
    this.picker.hide();
    this.onEnd(text);
  }
}
