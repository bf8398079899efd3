"use strict";
// A form for a job, from the schema of jobs: what it holds is a part of the job, and what is left empty is the default.

/** A place in a job: read, written, removed; the objects on the way are made as they are needed. */
class Place {
  constructor(job, path, changed) { Object.assign(this, {job, path, changed}); }
  at(key) { return new Place(this.job, [...this.path, key], this.changed); }
  get() { return this.path.reduce((value, key) => value === undefined || value === null ? undefined : value[key], this.job); }
  set(value) {
    let inner = this.job;
    this.path.slice(0, -1).forEach((key, i) => { inner = inner[key] ??= typeof this.path[i + 1] === "number" ? [] : {}; });
    const last = this.path.at(-1);
    if (value !== undefined) inner[last] = value;
    else if (Array.isArray(inner)) inner.splice(last, 1);
    else delete inner[last];
    this.changed();
  }
  id() { return "form/" + this.path.join("/"); }
}

/** The schema with what it refers to, its own description first. */
function resolved(schema, all) {
  if (schema.$ref) return resolved({...all.definitions[schema.$ref.split("/").at(-1)], ...schema, $ref: undefined}, all);
  if (schema.allOf) return resolved({...resolved(schema.allOf[0], all), ...schema, allOf: undefined}, all);
  return schema;
}

function labelled(place, schema, input) {
  input.id = place.id();
  const label = make("label", String(place.path.at(-1)));
  label.htmlFor = input.id;
  const said = make("small", schema.description || "");
  said.id = input.id + "?";
  input.setAttribute("aria-describedby", said.id);
  return make("div.field", label, input, said);
}

function choice(place, options, schema) {
  const input = make("select"), now = place.get();
  for (const option of [undefined, ...options]) {
    const item = make("option", option === undefined ? (schema.default === undefined ? "" : `default: ${schema.default}`) : String(option));
    item.value = option === undefined ? "" : JSON.stringify(option);
    item.selected = option === now;
    input.append(item);
  }
  input.onchange = () => place.set(input.value === "" ? undefined : JSON.parse(input.value));
  return labelled(place, schema, input);
}

/** A text field; `read` makes the value of what was typed, or throws. */
function typed(place, schema, element, show, read) {
  const input = make(element), now = place.get();
  if (now !== undefined) input.value = show(now);
  if (schema.default !== undefined) input.placeholder = `default: ${typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default)}`;
  input.onchange = () => {
    try {
      place.set(input.value === "" ? undefined : read(input.value));
      input.setCustomValidity("");
    } catch (error) {
      input.setCustomValidity(error.message);
      input.reportValidity();
    }
  };
  return labelled(place, schema, input);
}

function number(text) {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error("a number is needed");
  return value;
}

/** A section that is made when it is opened. */
function section(place, schema, fill, open) {
  const box = make("details.section", make("summary", String(place.path.at(-1)), " ", make("small", schema.description || "")));
  box.ontoggle = () => { if (box.open && box.children.length === 1) box.append(...fill()); };
  if (open || place.get() !== undefined) box.open = true;
  return box;
}

function object(place, schema, all, without = []) {
  const required = schema.required || [], names = Object.keys(schema.properties || {}).filter((n) => !without.includes(n));
  return [...names.filter((n) => required.includes(n)), ...names.filter((n) => !required.includes(n))]
    .map((n) => field(place.at(n), schema.properties[n], all, required.includes(n)));
}

/** One of several objects, told apart by a constant of theirs: the name of a method, the kind of a job. */
function oneOf(place, schema, all, redraw) {
  const kinds = schema.oneOf.map((kind) => resolved(kind, all));
  const key = Object.keys(kinds[0].properties).find((n) => kinds[0].properties[n].const !== undefined);
  const is = (kind) => kind.properties[key].const;
  const otherwise = kinds.find((kind) => !(kind.required || []).includes(key));  // what an absent key says
  const now = (place.get() || {})[key], chosen = kinds.find((kind) => is(kind) === now) || (now === undefined ? otherwise : undefined);
  const pick = choice(place.at(key), kinds.map(is), {default: otherwise && (is(otherwise) || "none"), description: kinds[0].properties[key].description});
  const select = pick.querySelector("select"), set = select.onchange;
  select.onchange = () => { set(); redraw(); };
  return [pick, ...(chosen ? object(place, chosen, all, [key]) : [])];
}

/** What an object holds, drawn again in `box` where its kind changes. */
function contents(place, schema, all) {
  if (!schema.oneOf) return object(place, schema, all);
  const box = make("div"), draw = () => box.replaceChildren(...oneOf(place, schema, all, draw));
  draw();
  return [box];
}

function list(place, schema, all) {
  const box = make("div"), add = button(`add to ${place.path.at(-1)}`, () => { place.at((place.get() || []).length).set({}); draw(); });
  const item = (_, i) => make("fieldset", make("legend", `${place.path.at(-1)} ${i + 1}`), ...contents(place.at(i), resolved(schema.items, all), all),
    button("remove", () => { place.at(i).set(undefined); draw(); }));
  const draw = () => box.replaceChildren(...(place.get() || []).map(item), add);
  draw();
  return [box];
}

function field(place, raw, all, open = false) {
  const schema = resolved(raw, all);
  if (schema.const !== undefined) return make("div");
  if (schema.enum) return choice(place, schema.enum, schema);
  if (schema.type === "boolean") return choice(place, [true, false], schema);
  if (schema.type === "number" || schema.type === "integer") return typed(place, schema, "input", String, number);
  if (schema.type === "string") return typed(place, schema, "input", String, (text) => text);
  if (schema.type === "array" && resolved(schema.items, all).type === "object") return section(place, schema, () => list(place, schema, all), open);
  if (schema.type === "array") return typed(place, schema, "textarea", (v) => v.join("\n"), (text) => text.split("\n").filter(Boolean).map((t) => resolved(schema.items, all).type === "string" ? t : number(t)));
  if (schema.properties || schema.oneOf) return section(place, schema, () => contents(place, schema, all), open);
  return typed(place, schema, "textarea", (v) => JSON.stringify(v, null, 2), (text) => JSON.parse(text));
}

/** The whole form of `job`, which it changes; `changed` is called then. */
function jobForm(all, job, changed) {
  return make("div.form", ...contents(new Place(job, [], changed), all, all));
}
