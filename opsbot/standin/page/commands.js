// Slash commands as values: finding them, checking their options, and the data an interaction carries. Pure.

export const TYPE = { SUB: 1, GROUP: 2, STRING: 3, INTEGER: 4, BOOLEAN: 5, USER: 6, CHANNEL: 7, ROLE: 8, MENTIONABLE: 9, NUMBER: 10 };

/** Every command that can be run: [{command, path, name, description, options}], subcommands each on their own. */
export function runnable(commands) {
  const all = [];
  const walk = (command, node, path) => {
    const subs = (node.options ?? []).filter((o) => o.type === TYPE.SUB || o.type === TYPE.GROUP);
    if (subs.length) for (const sub of subs) walk(command, sub, [...path, sub]);
    else {
      all.push({
        command,
        path,
        name: [command, ...path].map((n) => n.name).join(" "),
        description: node.description,
        options: [...(node.options ?? [])].sort((a, b) => Number(Boolean(b.required)) - Number(Boolean(a.required))),
      });
    }
  };
  for (const command of commands) if ((command.type ?? 1) === 1) walk(command, command, []);
  return all.sort((a, b) => a.name.localeCompare(b.name));
}

/** The commands that fit what was typed after the slash, best first. */
export function filter(list, typed) {
  const query = typed.trim().toLowerCase();
  if (!query) return list;
  const rank = (c) => (c.name.startsWith(query) ? 0 : c.name.includes(query) ? 1 : c.description?.toLowerCase().includes(query) ? 2 : 3);
  return list.filter((c) => rank(c) < 3).sort((a, b) => rank(a) - rank(b));
}

/** The interaction's data for a command and its filled-in options ([{name, type, value, focused?}]). */
export function data(entry, options) {
  let inner = options;
  for (const node of [...entry.path].reverse()) inner = [{ name: node.name, type: node.type, options: inner }];
  return { id: entry.command.id, name: entry.command.name, type: 1, options: inner };
}

/**
 * Checks one option. `field` is {text, value?}, `value` being what was picked from a list. Returns {value} to send,
 * {} when it is left out, or {error}.
 */
export function check(option, field) {
  const text = field.text.trim();
  if (field.value === undefined && text === "") return option.required ? { error: "This option is required. Specify a value" } : {};
  if (field.value !== undefined) return { value: field.value };
  switch (option.type) {
    case TYPE.INTEGER:
    case TYPE.NUMBER:
      return checkNumber(option, text);
    case TYPE.STRING:
      return checkString(option, field.text);
    default:
      return { error: "Choose one from the list" };
  }
}

function checkNumber(option, text) {
  const whole = option.type === TYPE.INTEGER;
  if (option.choices?.length) return { error: "Choose one from the list" };
  if (!(whole ? /^[+-]?\d{1,16}$/ : /^[+-]?(\d+\.?\d*|\.\d+)$/).test(text)) return { error: whole ? "Enter a whole number" : "Enter a number" };
  const value = Number(text);
  const { min_value: min, max_value: max } = option;
  if (min !== undefined && max !== undefined && (value < min || value > max)) return { error: `Enter a number between ${min} and ${max}` };
  if (min !== undefined && value < min) return { error: `Enter a number of at least ${min}` };
  if (max !== undefined && value > max) return { error: `Enter a number of at most ${max}` };
  return { value };
}

function checkString(option, text) {
  if (option.choices?.length) return { error: "Choose one from the list" };
  const length = [...text].length;
  if (length < (option.min_length ?? 0)) return { error: `Enter at least ${option.min_length} characters` };
  if (length > (option.max_length ?? 6000)) return { error: `Enter at most ${option.max_length ?? 6000} characters` };
  return { value: text };
}

/** What may be picked for an option without asking the bot: [{name, value, hint}]; null when anything may be typed. */
export function localChoices(option, store) {
  const users = () =>
    [...store.members.values()].map((m) => ({ name: `@${store.nameOf(m.user)}`, value: m.user.id, hint: m.user.username }));
  const roles = () =>
    [...store.roles.values()].filter((r) => r.id !== store.guild.id).map((r) => ({ name: `@${r.name}`, value: r.id, hint: "role" }));
  switch (option.type) {
    case TYPE.BOOLEAN:
      return [{ name: "True", value: true }, { name: "False", value: false }];
    case TYPE.USER:
      return users();
    case TYPE.ROLE:
      return roles();
    case TYPE.MENTIONABLE:
      return [...users(), ...roles()];
    case TYPE.CHANNEL:
      return [...store.channels.values()]
        .filter((c) => !option.channel_types?.length || option.channel_types.includes(c.type))
        .map((c) => ({ name: `#${c.name}`, value: c.id }));
    default:
      return option.choices?.length ? option.choices : null;
  }
}
