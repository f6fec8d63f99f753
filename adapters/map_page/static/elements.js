// Elements of the page, with text that is never read as markup.

export const byId = (name) => document.getElementById(name);

export function element(name, content = "") {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

// A button in a list that moves the map.
export function listedButton(content, whenPressed) {
  const button = element("button", content);
  button.type = "button";
  button.addEventListener("click", whenPressed);
  const item = document.createElement("li");
  item.append(button);
  return item;
}

// A row of a table: its first cell names it.
export function row(first, ...others) {
  const head = element("th", first);
  head.scope = "row";
  const made = document.createElement("tr");
  made.append(head, ...others.map((content) => element("td", content)));
  return made;
}

// The key of a drawing: a list of colours with what each means.
export function keyOf(names) {
  return names.map((name) => {
    const item = document.createElement("li");
    const swatch = document.createElement("span");
    swatch.className = `swatch ${name.replace(" ", "-")}`;
    item.append(swatch, ` ${name}`);
    return item;
  });
}
